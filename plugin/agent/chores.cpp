#include "plugin/agent/chores.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <sstream>
#include <system_error>
#include <utility>

#include "error/error.hpp"
#include "netfilter/kernel.hpp"
#include "os/file.hpp"
#include "plugin/agent/adopt_pass.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;

// For what is under way, when the agent ends.
constexpr auto patience_at_the_end = std::chrono::seconds(5);

// With what to do about it, where that is known.
std::string reason_of(const std::exception& error) {
  const auto* const ours = dynamic_cast<const Error*>(&error);
  return ours == nullptr ? error.what() : whole_text(*ours);
}

struct Wish {
  std::string reason;
  bool is_routine = false;
};

}  // namespace

struct Chores::Shared {
  Shared(state::Store the_store, ChoreDuties the_duties, std::chrono::nanoseconds timeout)
      : store(std::move(the_store)),
        duties(std::move(the_duties)),
        lock_timeout(timeout),
        folders(duties.folders) {}

  ChoresDone run(const Wish& asked);
  void ask_for_folders(ChoresDone& result);
  void keep_installed(ChoresDone& result);
  void watch_programs(ChoresDone& result);
  void adopt(ChoresDone& result);
  void copy_config(bool is_routine, ChoresDone& result);
  void begin(const std::string& what);

  const state::Store store;
  const ChoreDuties duties;
  const std::chrono::nanoseconds lock_timeout;
  CommandFolders folders;  ///< of the chores' thread alone
  netfilter::RealKernel kernel;
  os::FileDescriptor told{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};

  std::mutex mutex;  ///< of what follows
  std::condition_variable changed;
  std::optional<Wish> wish;
  std::optional<ChoresDone> done;
  std::optional<AgentReport::Chore> under_way;
  bool is_ended = false;
};

void Chores::Shared::begin(const std::string& what) {
  const std::lock_guard guard(mutex);
  under_way = {what, AgentReport::Clock::now()};
}

ChoresDone Chores::Shared::run(const Wish& asked) {
  ChoresDone result{.reason = asked.reason};
  ask_for_folders(result);
  // First of all: pods that come and pods that are adopted get the rules that it says.
  if (duties.config_copy) copy_config(asked.is_routine, result);
  if (duties.keep_installed) keep_installed(result);
  // Before a file that is to be followed was ever good, defaults would change what pods have now.
  if (result.is_without_copy) {
    result.troubles.insert("cannot adopt: " + duties.config_copy->to.string() +
                           " could never be made: pods that run stay as they are");
  } else {
    adopt(result);
  }
  return result;
}

// What was found stays where nothing is to be found now: somebody is writing the files. Where nothing was,
// they are not known.
void Chores::Shared::ask_for_folders(ChoresDone& result) {
  begin("to look where the runtime's folders are");
  const auto where = [this] {
    return "networks in " + folders.conf_dir.string() + ", plugins in " + folders.bin_dir.string();
  };
  const runtime::RealNodeFiles files;
  auto now = folders_for_agent(duties.asked_for, files);
  result.watched = files.asked();
  if (folders.is_found && !now.is_found) {
    if (!now.trouble.empty())
      result.warnings.insert("warning: " + where() + ", until that is mended: " + now.trouble);
  } else {
    const bool is_same =
        now.conf_dir == folders.conf_dir && now.bin_dir == folders.bin_dir && now.reason == folders.reason;
    folders = std::move(now);
    if (folders.trouble.empty() && !is_same)
      result.changes.push_back(folders.reason.empty() ? where() : folders.reason);
    if (!folders.trouble.empty() && !duties.keep_installed)
      result.warnings.insert("warning: " + where() + ", until that is mended: " + folders.trouble);
  }
  result.folders = folders;
}

void Chores::Shared::keep_installed(ChoresDone& result) {
  begin("to keep the entry in " + folders.conf_dir.string() + " and the program in " +
        folders.bin_dir.string());
  std::ostringstream text;
  try {
    if (!folders.trouble.empty()) throw Error(Kind::wrong_config, folders.trouble);
    for (const auto& note : install(target_in(folders, *duties.keep_installed), Doing::act, text))
      result.warnings.insert("warning: " + note);
  } catch (const std::exception& error) {
    result.troubles.insert("cannot keep the entry installed: " + reason_of(error));
  }
  std::istringstream lines(text.str());
  for (std::string line; std::getline(lines, line);) result.changes.push_back(line);
  watch_programs(result);
}

// Of the folders of plugins the list's own programs alone.
void Chores::Shared::watch_programs(ChoresDone& result) {
  const auto target = target_in(folders, *duties.keep_installed);
  for (const auto& folder : target.searched) result.watched.erase(folder);
  try {
    result.watched.merge(programs_asked_for(target));
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): install has told of it
  }
}

// Pods that were there before, or whose record was lost.
void Chores::Shared::adopt(ChoresDone& result) {
  begin("to look for pods that are not recorded");
  try {
    const auto pass = adopt_pass(store, kernel, folders.conf_dir, lock_timeout);
    for (const auto& network : pass.networks) {
      for (const auto& line : texts_of(network)) result.changes.push_back("adopted " + line);
    }
    result.changes.insert(result.changes.end(), pass.changes.begin(), pass.changes.end());
    result.kernel_changes = pass.changes.size();
    for (const auto* const lines : {&pass.warnings, &pass.not_seen, &pass.passed_over}) {
      for (const auto& line : *lines) result.warnings.insert("warning: not adopted: " + line);
    }
    for (const auto& line : pass.unread_lists) result.troubles.insert("cannot adopt: " + line);
    for (const auto& problem : pass.problems) result.troubles.insert("cannot adopt: " + problem);
    result.could_not_adopt = !pass.problems.empty();
  } catch (const std::exception& error) {
    result.could_not_adopt = true;
    result.troubles.insert("cannot adopt: " + reason_of(error));
  }
}

// A ConfigMap that goes together with the agent's DaemonSet is gone before the agent is: the rules of running
// pods are not to change by that.
void Chores::Shared::copy_config(bool is_routine, ChoresDone& result) {
  begin("to copy the configuration file to " + duties.config_copy->to.string());
  result.has_wrong_copy = false;
  const auto tell = [&](const std::string& what) {
    result.troubles.insert(what);
    std::error_code error;
    result.is_without_copy =
        fs::symlink_status(duties.config_copy->to, error).type() == fs::file_type::not_found;
  };
  try {
    const auto copied = follow(*duties.config_copy, is_routine ? WhenGone::remove : WhenGone::keep);
    if (!copied.change.empty()) result.changes.push_back(copied.change);
    for (const auto& warning : copied.warnings) result.warnings.insert("warning: " + warning);
  } catch (const Error& error) {
    result.has_wrong_copy = error.kind() == Kind::wrong_config;
    tell((*result.has_wrong_copy ? "" : "cannot copy the configuration file: ") + whole_text(error));
  } catch (const std::exception& error) {
    tell("cannot copy the configuration file: " + reason_of(error));
  }
}

Chores::Chores(const state::Store& store, const ChoreDuties& duties, std::chrono::nanoseconds lock_timeout)
    : shared_(std::make_shared<Shared>(store, duties, lock_timeout)) {
  if (!shared_->told.is_open()) throw_errno("cannot make an eventfd");
}

Chores::~Chores() {
  if (!thread_.joinable()) return;
  std::unique_lock guard(shared_->mutex);
  shared_->is_ended = true;
  shared_->changed.notify_all();
  const bool is_at_rest =
      shared_->changed.wait_for(guard, patience_at_the_end, [this] { return !shared_->under_way; });
  guard.unlock();
  is_at_rest ? thread_.join() : thread_.detach();
}

void Chores::ask(const std::string& reason, bool is_routine) {
  const std::lock_guard guard(shared_->mutex);
  auto& wish = shared_->wish;
  if (!wish || is_routine) wish = {reason, is_routine};
  shared_->changed.notify_all();
  if (thread_.joinable()) return;
  try {
    thread_ = std::thread([shared = shared_] { work(*shared); });
  } catch (const std::system_error& error) {
    throw Error(Kind::failed, "cannot start a thread: " + error.code().message());
  }
}

void Chores::work(Shared& shared) {
  std::unique_lock guard(shared.mutex);
  for (;;) {
    shared.changed.wait(guard, [&shared] { return shared.is_ended || (shared.wish && !shared.done); });
    if (shared.is_ended) return;
    const auto wish = *std::exchange(shared.wish, std::nullopt);
    shared.under_way = {"to look after what is beside the rules", AgentReport::Clock::now()};
    guard.unlock();
    auto done = shared.run(wish);
    guard.lock();
    shared.under_way.reset();
    shared.done = std::move(done);
    shared.changed.notify_all();
    ::eventfd_write(shared.told.number(), 1);
  }
}

int Chores::descriptor() const {
  return shared_->told.number();
}

std::optional<ChoresDone> Chores::take() {
  eventfd_t count = 0;
  ::eventfd_read(shared_->told.number(), &count);
  const std::lock_guard guard(shared_->mutex);
  shared_->changed.notify_all();
  return std::exchange(shared_->done, std::nullopt);
}

std::optional<AgentReport::Chore> Chores::under_way() const {
  const std::lock_guard guard(shared_->mutex);
  return shared_->under_way;
}

}  // namespace ipmasq::plugin
