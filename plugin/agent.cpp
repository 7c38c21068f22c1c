#include "plugin/agent.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include "cni/error.hpp"
#include "config/netconf.hpp"
#include "netfilter/iptables_size.hpp"
#include "netfilter/nftables_events.hpp"
#include "os/file_lock.hpp"
#include "plugin/sync_pass.hpp"
#include "watch/file_watch.hpp"

namespace ipmasq::plugin {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto shortest_retry = 1s;
constexpr auto longest_retry = 60s;
// Between two passes, however many changes there are.
constexpr auto shortest_rest = 20ms;

// systemd's protocol (sd_notify(3)): a datagram to the socket that the environment names.
void notify(const std::string& state) {
  const char* const name =
      std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe): there is one thread
  if (name == nullptr || std::strlen(name) >= sizeof(sockaddr_un::sun_path)) return;
  const os::FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(static_cast<char*>(address.sun_path), name, std::strlen(name));
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(name));
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): how sockaddr is meant
  ::sendto(socket.number(), state.data(), state.size(), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&address), size);
}

// SIGTERM, SIGINT and SIGHUP as something to wait for.
class Signals {
 public:
  Signals() {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&set, number);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    descriptor_ = os::FileDescriptor(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    if (!descriptor_.is_open()) cni::throw_errno("cannot wait for signals");
  }

  int descriptor() const { return descriptor_.number(); }

  // The last one that came; 0 where none did.
  int drain() const {
    int number = 0;
    signalfd_siginfo info{};
    while (::read(descriptor(), &info, sizeof info) == sizeof info) {
      if (number != SIGTERM && number != SIGINT) number = static_cast<int>(info.ssi_signo);
    }
    return number;
  }

 private:
  os::FileDescriptor descriptor_;
};

std::optional<netfilter::NftablesEvents> nftables_events() {
  try {
    return std::optional<netfilter::NftablesEvents>(std::in_place);
  } catch (const cni::Error&) {
    return std::nullopt;  // the resync interval is left
  }
}

os::FileLock lock_out_others(const std::filesystem::path& state_dir) {
  os::make_folder(state_dir, 0700);
  try {
    return {state_dir / ".agent", os::LockKind::exclusive, 0s};
  } catch (const cni::Error& error) {
    if (error.code() != cni::ErrorCode::try_again_later) throw;
    throw cni::Error(error.code(), "another agent runs on " + state_dir.string());
  }
}

class Agent {
 public:
  Agent(std::filesystem::path state_dir, std::optional<InstallTarget> keep_installed, std::ostream& log)
      : store_(state_dir),
        state_dir_(std::move(state_dir)),
        keep_installed_(std::move(keep_installed)),
        log_(log) {}

  void run() {
    const auto lock = lock_out_others(state_dir_);
    pass("start");
    notify("READY=1");
    for (;;) {
      const auto reason = wait();
      if (!reason) break;
      if (!reason->empty()) pass(*reason);
    }
    notify("STOPPING=1");
    log("stopped; the rules stay");
  }

 private:
  void log(const std::string& line) { log_ << "ip-masq agent: " << line << std::endl; }

  // Each thing once, until it is gone.
  void log_news(const std::set<std::string>& lines) {
    for (const auto& line : lines) {
      if (!told_.contains(line)) log(line);
    }
    told_ = lines;
  }

  // Until a pass finds nothing to do: what it compares with later was then asked for before it looked, so
  // that nothing that changes meanwhile goes unnoticed. Somebody who changes the rules all the time does not
  // hold it here.
  void pass(const std::string& reason) {
    constexpr int most_passes = 5;
    for (int passes = 0; passes < most_passes; ++passes) {
      const auto known = files_;
      table_sizes_ = table_sizes();
      const bool has_changed = pass_once(reason);
      if (!has_changed && files_ == known) return;
    }
  }

  // Whether it changed anything.
  bool pass_once(const std::string& reason) {
    bool has_changed = false;
    std::set<std::string> news;
    try {
      file_watch_.watch(files_);
      if (keep_installed_) keep_installed(reason, news);
      const auto done = sync_pass(store_, kernel_, config::Netconf{}.lock_timeout);
      for (const auto& change : done.changes) log(change + " (" + reason + ")");
      for (const auto& warning : done.warnings) news.insert("warning: " + warning);
      news.insert(done.problems.begin(), done.problems.end());
      files_ = done.files;
      has_changed = !done.changes.empty() || uses_iptables_ != done.uses_iptables;
      uses_iptables_ = done.uses_iptables;
      retry_ = shortest_retry;
      next_resync_ = Clock::now() + done.resync_interval;
    } catch (const cni::Error& error) {
      news.insert(std::string("cannot sync: ") + error.what());
      next_resync_ = Clock::now() + retry_;
      retry_ = std::min<Clock::duration>(retry_ * 2, longest_retry);
    }
    files_.insert(state_dir_ / "lock");
    if (keep_installed_) files_.insert(keep_installed_->conf_dir / "conflists");
    log_news(news);
    return has_changed;
  }

  void keep_installed(const std::string& reason, std::set<std::string>& news) {
    std::ostringstream told;
    try {
      install(*keep_installed_, told);
    } catch (const cni::Error& error) {
      news.insert(std::string("cannot keep the entry installed: ") + error.what());
    }
    std::istringstream lines(told.str());
    for (std::string line; std::getline(lines, line);) log(line + " (" + reason + ")");
  }

  // Why to make a pass, empty for no reason; nullopt when it is time to end.
  std::optional<std::string> wait() {
    std::array<pollfd, 3> waited{{{signals_.descriptor(), POLLIN, 0},
                                  {file_watch_.descriptor(), POLLIN, 0},
                                  {events_ ? events_->descriptor() : -1, POLLIN, 0}}};
    auto until = next_resync_;
    if (uses_iptables_) until = std::min(until, Clock::now() + 1s);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    ::poll(waited.data(), waited.size(), static_cast<int>(std::max<long>(left, 0)));

    const int signal = signals_.drain();
    if (signal == SIGTERM || signal == SIGINT) return std::nullopt;
    if (signal == SIGHUP) return "SIGHUP";
    if (waited[1].revents != 0) {
      rest();
      file_watch_.drain();
      return "a file changed";
    }
    if (waited[2].revents != 0) {
      if (events_->drain()) {
        rest();
        events_->drain();
        return "nftables changed";
      }
      return "";
    }
    if (Clock::now() >= next_resync_) return "resync";
    if (table_sizes() != table_sizes_) return "iptables changed";
    return "";
  }

  // Empty where they do not matter, or cannot be asked for: a pass then tells why.
  std::string table_sizes() const {
    try {
      return uses_iptables_ ? netfilter::nat_table_sizes() : "";
    } catch (const cni::Error&) {
      return "";
    }
  }

  static void rest() {
    ::usleep(std::chrono::duration_cast<std::chrono::microseconds>(shortest_rest).count());
  }

  state::Store store_;
  std::filesystem::path state_dir_;
  std::optional<InstallTarget> keep_installed_;
  std::ostream& log_;
  netfilter::RealKernel kernel_;
  Signals signals_;
  watch::FileWatch file_watch_;
  std::optional<netfilter::NftablesEvents> events_ = nftables_events();
  std::set<std::filesystem::path> files_;
  std::set<std::string> told_;
  Clock::duration retry_ = shortest_retry;
  Clock::time_point next_resync_;
  bool uses_iptables_ = false;
  std::string table_sizes_;
};

}  // namespace

void run_agent(const std::filesystem::path& state_dir, const std::optional<InstallTarget>& keep_installed,
               std::ostream& log) {
  Agent(state_dir, keep_installed, log).run();
}

}  // namespace ipmasq::plugin
