#include "plugin/agent/agent.hpp"

#include <malloc.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <ctime>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "conflist/conflist.hpp"
#include "error/error.hpp"
#include "error/first_lines.hpp"
#include "os/file.hpp"
#include "os/file_lock.hpp"
#include "os/service_manager.hpp"
#include "os/signals.hpp"
#include "plugin/agent/agent_lock.hpp"
#include "plugin/agent/agent_report.hpp"
#include "plugin/agent/backoff.hpp"
#include "plugin/agent/chores.hpp"
#include "plugin/agent/cpu_time.hpp"
#include "plugin/agent/drift_watch.hpp"
#include "plugin/agent/listener.hpp"
#include "plugin/agent/log.hpp"
#include "plugin/agent/lost_networks.hpp"
#include "plugin/agent/sync_pass.hpp"
#include "plugin/verbs/recorded.hpp"
#include "state/layout.hpp"
#include "watch/file_watch.hpp"

namespace ipmasq::plugin {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// Somebody who holds a lock for longer is told of, and asked again: meanwhile the loop comes round.
constexpr auto lock_patience = 5s;
constexpr auto file_changed = "a file changed";
// Between two passes, however many changes there are.
constexpr auto shortest_rest = 20ms;
// Who writes a file again and again that says the same makes passes that cost 5% of a core, and the next
// change is seen this late at most.
constexpr int file_share = 20;
constexpr auto longest_file_rest = 10s;
// Though there is nothing to do.
constexpr auto longest_wait = 10s;

class Agent {
 public:
  Agent(std::filesystem::path state_dir, AgentDuties duties, int log)
      : store_(std::move(state_dir)),
        duties_(std::move(duties)),
        log_(log),
        chores_(store_, duties_.chores, lock_patience),
        listener_(duties_.listen, board_, chores_, store_, log_) {
    report_.state_dir = store_.folder();
    report_.is_starting = true;
    publish();  // before anybody can ask
  }

  void run() {
    lock_.emplace(lock_out_others(store_));
    listener_.try_to_listen();
    pass({"start", true});
    os::tell_service_manager("READY=1");
    while (const auto occasion = wait()) {
      listener_.try_to_listen();
      if (!occasion->reason.empty()) pass(*occasion);
      // Long lists take what is not needed until they change again.
      ::malloc_trim(0);
    }
    os::tell_service_manager("STOPPING=1");
    log_.say("stopped; the rules stay");
  }

 private:
  // A line each.
  struct Findings {
    std::vector<std::string> changes = {};
    std::set<std::string> warnings = {};
    std::set<std::string> troubles = {};
  };

  struct Occasion {
    std::string reason;       // to make a pass; empty: none
    bool is_routine = false;  // nothing tells whether anything changed
  };

  // Until a pass finds nothing to do: what it compares with later was then asked for before it looked, so
  // that nothing that changes meanwhile goes unnoticed. Somebody who changes the rules all the time does not
  // hold it here.
  void pass(const Occasion& occasion) {
    constexpr int most_passes = 5;
    const auto before = cpu_time();
    bool did_nothing = true;
    for (int passes = 0; passes < most_passes; ++passes) {
      const auto known = files_;
      const bool has_changed = pass_once(occasion.reason);
      did_nothing = did_nothing && !has_changed;
      if (!has_changed && files_ == known) break;
    }
    if (did_nothing)
      next_file_pass_ =
          Clock::now() + std::min<Clock::duration>((cpu_time() - before) * file_share, longest_file_rest);
    if (occasion.is_routine) last_routine_ = Clock::now();
    ask_for_chores(occasion);
  }

  // Whether it changed anything.
  bool pass_once(const std::string& reason) {
    report_.pass_began = Clock::now();
    publish();
    Findings findings;
    const bool is_of_files = watch(findings);
    const bool has_changed = sync(findings);
    follow_more_files();
    report_.pass_began.reset();
    pass_said_ = std::move(findings);
    tell(pass_said_, is_of_files ? file_changed : reason);
    return has_changed;
  }

  // What cannot be watched is looked at, or found at the next resync: the rules are looked after all the
  // same. Whether files changed while a pass came about for another reason.
  bool watch(Findings& findings) {
    const bool has_changed = file_watch_.watch(files_, endings_to_watch());
    has_file_changed_ = has_file_changed_ || has_changed;
    if (!file_watch_.problem().empty()) findings.warnings.insert("warning: " + file_watch_.problem());
    drift_.before_pass(findings.warnings);
    return has_changed;
  }

  // Conflists with the plugins in folders beside them, and the folders of networks that are recorded.
  watch::FileWatch::Endings endings_to_watch() const {
    watch::FileWatch::Endings endings;
    if (duties_.chores.keep_installed) endings = conflists_of(duties_.chores.folders.conf_dir);
    endings[store_.folder()];
    return endings;
  }

  // Whether it changed anything.
  bool sync(Findings& findings) {
    const auto cpu_before = cpu_time();
    try {
      if (!store_.exists()) {
        throw Error(Kind::failed, store_.folder().string() +
                                      " is gone, and with it what was recorded of pods: rules that stand "
                                      "stay as they are, and nobody looks after them");
      }
      if (!os::is_there(agent_lock_of(store_))) lock_.emplace(lock_out_others(store_));
      auto done = sync_pass(store_, kernel_, lock_patience);
      findings.changes = first_texts(done.changes);
      std::ranges::move(done.followed, std::back_inserter(findings.changes));
      for (const auto& warning : done.warnings) findings.warnings.insert("warning: " + warning);
      findings.troubles.insert(done.problems.begin(), done.problems.end());
      const bool used_iptables = drift_.uses_iptables();
      const auto lost = lost_.told_by(done, report_.attachments, store_.folder().string());
      findings.troubles.insert(lost.begin(), lost.end());
      take(done);
      const auto end = !done.is_right         ? PassEnd::not_right
                       : done.changes.empty() ? PassEnd::nothing_to_do
                                              : PassEnd::done;
      drift_.after_pass(std::move(done.wanted), end, cpu_time() - cpu_before, report_.resync_interval);
      return !done.changes.empty() || drift_.uses_iptables() != used_iptables;
    } catch (const Error& error) {
      findings.troubles.insert(std::string("cannot sync: ") + error.what());
      ++report_.failed_passes;
      drift_.after_failed_pass(cpu_time() - cpu_before);
      // Who holds a lock gives it back at any time.
      if (error.kind() == Kind::busy) retry_.reset();
      try_again();
      return false;
    }
  }

  void take(const SyncPass& done) {
    ++report_.passes;
    report_.changes += count(done.changes);
    report_.drift_changes += count(done.changes, Cause::drift);
    report_.last_pass_at = std::time(nullptr);
    report_.last_pass = Clock::now();
    report_.attachments = done.attachments;
    report_.policies = done.policies;
    report_.has_wrong_config = done.has_wrong_config;
    report_.resync_interval = done.resync_interval.value_or(60s);
    files_ = done.files;
    next_retry_ = Clock::time_point::max();
    if (!done.is_right) {
      ++report_.failed_passes;
      return try_again();
    }
    report_.last_right_at = report_.last_pass_at;
    retry_.reset();
  }

  void try_again() {
    next_retry_ = Clock::now() + std::min<Clock::duration>(retry_.next(), report_.resync_interval);
  }

  // What is looked after beside the rules, once they are right.
  void ask_for_chores(const Occasion& occasion) {
    const bool has_file_changed = std::exchange(has_file_changed_, false);
    const bool is_of_rules = is_drift(occasion.reason);
    if (is_of_rules && !has_file_changed) return;
    next_adoption_ = Clock::time_point::max();
    try {
      chores_.ask(is_of_rules ? file_changed : occasion.reason, occasion.is_routine);
    } catch (const Error& error) {
      log_.say(error.what());
    }
  }

  // Why to make a pass: they may have changed what rules are made of, or what is watched. Somebody who undoes
  // them all the time has it once each resync.
  std::string finish_chores() {
    constexpr int most_rounds = 5;
    auto done = chores_.take();
    if (!done) return "";
    report_.is_starting = false;
    report_.changes += done->kernel_changes;
    report_.has_wrong_copy = done->has_wrong_copy;
    duties_.chores.folders = std::move(done->folders);
    const bool is_watched = watched_for_entry_ == done->watched;
    watched_for_entry_ = std::move(done->watched);
    chores_said_.warnings = std::move(done->warnings);
    chores_said_.troubles = std::move(done->troubles);
    if (!done->could_not_adopt) adoption_retry_.reset();
    if (done->could_not_adopt) next_adoption_ = Clock::now() + adoption_retry_.next();
    const bool has_changed = !done->changes.empty() || (duties_.chores.keep_installed && !is_watched);
    chores_said_.changes = first_lines(std::move(done->changes), " changes");
    tell(chores_said_, done->reason);
    chore_rounds_ = has_changed ? chore_rounds_ + 1 : 0;
    return has_changed && chore_rounds_ <= most_rounds ? done->reason : "";
  }

  void follow_more_files() {
    files_.insert({store_.folder() / state::lock_file, agent_lock_of(store_)});
    // A folder may be there before its network: somebody else's file kept it.
    try {
      files_.merge(store_.record_files());
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): the pass has told of it
    }
    if (duties_.chores.keep_installed) {
      files_.insert(duties_.chores.folders.bin_dir / conflist::our_type);
      files_.insert(watched_for_entry_.begin(), watched_for_entry_.end());
    }
    if (!duties_.chores.config_copy) return;
    files_.insert(duties_.chores.config_copy->from.begin(), duties_.chores.config_copy->from.end());
    files_.insert(duties_.chores.config_copy->to);
  }

  // Changes as they come; all else once, until it is gone.
  void tell(Findings& findings, const std::string& reason) {
    for (const auto& line : std::exchange(findings.changes, {})) log_.say(line + " (" + reason + ")");
    report_.troubles = pass_said_.troubles;
    report_.troubles.insert(chores_said_.troubles.begin(), chores_said_.troubles.end());
    publish();
    auto lines = report_.troubles;
    for (const auto* const said : {&pass_said_, &chores_said_})
      lines.insert(said->warnings.begin(), said->warnings.end());
    tell_once(std::move(lines));
  }

  void tell_once(std::set<std::string> lines) {
    std::vector<std::string> fresh;
    std::ranges::set_difference(lines, told_, std::back_inserter(fresh));
    for (const auto& line : first_lines(std::move(fresh))) log_.say(line);
    told_ = std::move(lines);
  }

  void publish() {
    report_.last_round = Clock::now();
    board_.put(report_);
  }

  // The loop has come round: whoever would start it anew if it did not is told.
  void come_round() {
    board_.come_round();
    if (!beat_ || Clock::now() < next_beat_) return;
    os::tell_service_manager("WATCHDOG=1");
    next_beat_ = Clock::now() + *beat_;
  }

  std::optional<Occasion> wait() {  // nullopt when it is time to end
    come_round();
    const bool looks_at_files = file_watch_.descriptor() < 0;
    const bool is_file_due = Clock::now() >= next_file_pass_;
    std::array<pollfd, 4> waited{{{signals_.descriptor(), POLLIN, 0},
                                  {is_file_due ? file_watch_.descriptor() : -1, POLLIN, 0},
                                  {drift_.descriptor(), POLLIN, 0},
                                  {chores_.descriptor(), POLLIN, 0}}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_due() - Clock::now()).count();
    ::poll(waited.data(), waited.size(), static_cast<int>(std::max<long>(left, 0)));
    come_round();

    const int signal = signals_.drain();
    if (signal == SIGTERM || signal == SIGINT) return std::nullopt;
    if (signal == SIGHUP) return Occasion{"SIGHUP"};
    if (waited[3].revents != 0) return Occasion{finish_chores()};
    if (is_routine()) return Occasion{"resync", true};
    if (looks_at_files ? is_file_due && do_files_differ()
                       : waited[1].revents != 0 && file_watch_.has_changed()) {
      rest();
      static_cast<void>(file_watch_.has_changed());
      return Occasion{file_changed};
    }
    if (waited[2].revents != 0 && drift_.has_told()) {
      rest();
      static_cast<void>(drift_.has_told());
      return Occasion{nftables_changed};
    }
    const bool is_retry = Clock::now() >= std::min(next_retry_, next_adoption_);
    return is_retry ? Occasion{"resync"} : Occasion{drift_.look()};
  }

  // However many passes there were since for other reasons.
  Clock::time_point next_routine() const { return last_routine_ + report_.resync_interval; }
  bool is_routine() const { return Clock::now() >= next_routine(); }

  Clock::time_point next_due() const {
    auto due = std::min<Clock::time_point>(
        {next_routine(), next_retry_, next_adoption_, Clock::now() + longest_wait});
    if (beat_) due = std::min(due, next_beat_);
    due = std::min(due, listener_.next_try().value_or(due));
    if (file_watch_.descriptor() < 0) due = std::min(due, next_file_look_);
    if (Clock::now() < next_file_pass_) due = std::min(due, next_file_pass_);
    return std::min(due, drift_.next_look().value_or(due));
  }

  bool do_files_differ() {
    if (Clock::now() < next_file_look_) return false;
    next_file_look_ = Clock::now() + std::chrono::milliseconds(watch::FileWatch::look_interval);
    return file_watch_.has_changed();
  }

  static void rest() {
    ::usleep(std::chrono::duration_cast<std::chrono::microseconds>(shortest_rest).count());
  }

  state::Store store_;
  AgentDuties duties_;
  Log log_;
  netfilter::RealKernel kernel_;
  os::Signals signals_{SIGTERM, SIGINT, SIGHUP};
  std::optional<os::FileLock> lock_;  ///< that no other agent runs
  watch::FileWatch file_watch_;
  bool has_file_changed_ = false;  ///< while a pass came about for another reason
  DriftWatch drift_{kernel_};
  std::set<std::filesystem::path> files_;
  std::set<std::filesystem::path> watched_for_entry_;  ///< as the chores said last
  std::set<std::string> told_;
  Findings pass_said_;    ///< the last one
  Findings chores_said_;  ///< the last time
  int chore_rounds_ = 0;  ///< that changed something, one after the other
  LostNetworks lost_;
  Backoff retry_;  ///< of a pass
  Backoff adoption_retry_;
  Clock::time_point last_routine_;
  Clock::time_point next_retry_ = Clock::time_point::max();     ///< of a pass
  Clock::time_point next_adoption_ = Clock::time_point::max();  ///< of what could not be adopted
  Clock::time_point next_file_look_;
  Clock::time_point next_file_pass_;
  std::optional<std::chrono::microseconds> beat_ = os::watchdog_interval();
  Clock::time_point next_beat_;
  AgentReport report_;
  ReportBoard board_;
  Chores chores_;
  Listener listener_;
};

}  // namespace

void run_agent(const std::filesystem::path& state_dir, const AgentDuties& duties, int log) {
  Agent(state_dir, duties, log).run();
}

}  // namespace ipmasq::plugin
