#include "plugin/agent/agent.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <ctime>
#include <ostream>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

#include "config/netconf.hpp"
#include "error/error.hpp"
#include "http/server.hpp"
#include "netfilter/iptables_size.hpp"
#include "netfilter/nftables_events.hpp"
#include "os/file_lock.hpp"
#include "os/service_manager.hpp"
#include "os/signals.hpp"
#include "plugin/agent/adopt_pass.hpp"
#include "plugin/agent/agent_report.hpp"
#include "plugin/agent/sync_pass.hpp"
#include "watch/file_watch.hpp"

namespace ipmasq::plugin {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto shortest_retry = 1s;
constexpr auto longest_retry = 60s;
constexpr auto at_start = "start";
constexpr auto at_resync = "resync";
constexpr auto nftables_changed = "nftables changed";
constexpr auto iptables_changed = "iptables changed";
// Between two passes, however many changes there are.
constexpr auto shortest_rest = 20ms;

std::optional<netfilter::NftablesEvents> nftables_events() {
  try {
    return std::optional<netfilter::NftablesEvents>(std::in_place);
  } catch (const Error&) {
    return std::nullopt;  // the resync interval is left
  }
}

// A folder that somebody else has a hand in is refused; its mode is its owner's business.
os::FileLock lock_out_others(const state::Store& store) {
  if (!store.exists()) os::make_folder(store.folder(), 0700);
  try {
    return {store.folder() / ".agent", os::LockKind::exclusive, 0s};
  } catch (const Error& locked) {
    if (locked.kind() != Kind::busy) throw;
    throw Error(locked.kind(), "another agent runs on " + store.folder().string());
  }
}

class Agent {
 public:
  Agent(std::filesystem::path state_dir, AgentDuties duties, std::ostream& log)
      : store_(std::move(state_dir)), duties_(std::move(duties)), log_(log) {
    if (duties_.listen) server_.emplace(duties_.listen->address, duties_.listen->port);
  }

  void run() {
    const auto lock = lock_out_others(store_);
    pass(at_start);
    os::tell_service_manager("READY=1");
    for (;;) {
      const auto reason = wait();
      if (!reason) break;
      if (!reason->empty()) pass(*reason);
    }
    os::tell_service_manager("STOPPING=1");
    log("stopped; the rules stay");
  }

 private:
  void log(const std::string& line) { log_ << "ip-masq agent: " << line << std::endl; }

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
    std::set<std::string> warnings;
    std::set<std::string> troubles;
    try {
      file_watch_.watch(files_);
      if (duties_.keep_installed) keep_installed(reason, troubles);
      if (duties_.config_copy) copy_config(reason, troubles);
      if (reason != nftables_changed && reason != iptables_changed) adopt(reason, warnings, troubles);
      const auto done = sync_pass(store_, kernel_, config::Netconf{}.lock_timeout);
      for (const auto& change : done.changes) log(change + " (" + reason + ")");
      for (const auto& warning : done.warnings) warnings.insert("warning: " + warning);
      troubles.insert(done.problems.begin(), done.problems.end());
      count(done);
      files_ = done.files;
      has_changed = !done.changes.empty() || uses_iptables_ != done.uses_iptables;
      uses_iptables_ = done.uses_iptables;
      retry_ = shortest_retry;
      next_resync_ = Clock::now() + done.resync_interval;
    } catch (const Error& error) {
      troubles.insert(std::string("cannot sync: ") + error.what());
      ++report_.failed_passes;
      next_resync_ = Clock::now() + retry_;
      retry_ = std::min<Clock::duration>(retry_ * 2, longest_retry);
    }
    files_.insert(store_.folder() / "lock");
    if (duties_.keep_installed) files_.insert(duties_.keep_installed->conf_dir / "conflists");
    if (duties_.config_copy) {
      files_.insert(duties_.config_copy->from.begin(), duties_.config_copy->from.end());
      files_.insert(duties_.config_copy->to);
    }
    tell(warnings, troubles);
    return has_changed;
  }

  void count(const SyncPass& done) {
    ++report_.passes;
    report_.changes += done.changes.size();
    report_.last_pass_at = std::time(nullptr);
    report_.attachments = done.attachments;
  }

  // In the log each thing once, until it is gone.
  void tell(std::set<std::string> lines, const std::set<std::string>& troubles) {
    report_.troubles = troubles;
    if (server_) {
      server_->put("/healthz", {.status = troubles.empty() ? 200 : 503, .body = health(report_)});
      server_->put("/metrics", {.type = "text/plain; version=0.0.4; charset=utf-8",
                                .body = metrics(report_, IP_MASQ_VERSION)});
    }
    lines.insert(troubles.begin(), troubles.end());
    for (const auto& line : lines) {
      if (!told_.contains(line)) log(line);
    }
    told_ = std::move(lines);
  }

  void keep_installed(const std::string& reason, std::set<std::string>& troubles) {
    std::ostringstream told;
    try {
      install(*duties_.keep_installed, told);
    } catch (const Error& error) {
      troubles.insert(std::string("cannot keep the entry installed: ") + error.what());
    }
    std::istringstream lines(told.str());
    for (std::string line; std::getline(lines, line);) log(line + " (" + reason + ")");
  }

  // Pods that were there before, or whose record was lost.
  void adopt(const std::string& reason, std::set<std::string>& warnings, std::set<std::string>& troubles) {
    try {
      const auto done = adopt_pass(store_, kernel_, duties_.conf_dir, config::Netconf{}.lock_timeout);
      for (const auto& network : done.networks) {
        for (const auto& line : texts_of(network)) log("adopted " + line + " (" + reason + ")");
      }
      for (const auto& change : done.changes) log(change + " (" + reason + ")");
      report_.changes += done.changes.size();
      for (const auto& warning : done.warnings) warnings.insert("warning: not adopted: " + warning);
      for (const auto& problem : done.problems) troubles.insert("cannot adopt: " + problem);
    } catch (const Error& error) {
      troubles.insert(std::string("cannot adopt: ") + error.what());
    }
  }

  // A ConfigMap that goes together with the agent's DaemonSet is gone before the agent is: the rules of
  // running pods are not to change by that.
  void copy_config(const std::string& reason, std::set<std::string>& troubles) {
    try {
      const bool is_routine = reason == at_start || reason == at_resync;
      const auto done = follow(*duties_.config_copy, is_routine ? WhenGone::remove : WhenGone::keep);
      if (!done.empty()) log(done + " (" + reason + ")");
    } catch (const Error& error) {
      const std::string tried =
          error.kind() == Kind::wrong_config ? "" : "cannot copy the configuration file: ";
      troubles.insert(tried + error.what());
    }
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
        return nftables_changed;
      }
      return "";
    }
    if (Clock::now() >= next_resync_) return at_resync;
    if (table_sizes() != table_sizes_) return iptables_changed;
    return "";
  }

  // Empty where they do not matter, or cannot be asked for: a pass then tells why.
  std::string table_sizes() const {
    try {
      return uses_iptables_ ? netfilter::nat_table_sizes() : "";
    } catch (const Error&) {
      return "";
    }
  }

  static void rest() {
    ::usleep(std::chrono::duration_cast<std::chrono::microseconds>(shortest_rest).count());
  }

  state::Store store_;
  AgentDuties duties_;
  std::ostream& log_;
  netfilter::RealKernel kernel_;
  os::Signals signals_{SIGTERM, SIGINT, SIGHUP};
  watch::FileWatch file_watch_;
  std::optional<netfilter::NftablesEvents> events_ = nftables_events();
  std::set<std::filesystem::path> files_;
  std::set<std::string> told_;
  Clock::duration retry_ = shortest_retry;
  Clock::time_point next_resync_;
  bool uses_iptables_ = false;
  std::string table_sizes_;
  AgentReport report_;
  std::optional<http::Server> server_;
};

}  // namespace

void run_agent(const std::filesystem::path& state_dir, const AgentDuties& duties, std::ostream& log) {
  Agent(state_dir, duties, log).run();
}

}  // namespace ipmasq::plugin
