#include "plugin/commands/after_uninstall.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <vector>

#include "conflist/conflist.hpp"
#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "os/file.hpp"
#include "os/file_lock.hpp"
#include "plugin/commands/folders.hpp"
#include "plugin/commands/plugin_folders.hpp"
#include "state/layout.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;

// Pods whose end nobody will tell of: a runtime calls the plugins that its list names then.
Notes who_is_left(const fs::path& state_dir) {
  std::size_t count = 0;
  try {
    for (const auto& [name, network] : state::Store(state_dir).load()) count += network.attachments.size();
  } catch (const Error& error) {
    return {std::string("could not look which pods are recorded: ") + error.what()};
  }
  if (count == 0) return {};
  return {"rules of " + std::to_string(count) +
          " recorded pods stay for them; most runtimes send no DEL without the entry: once these pods are "
          "gone, \"ip-masq "
          "uninstall --rules\" takes what is left away"};
}

bool is_changed(const fs::path& path, const std::vector<fs::path>& files) {
  return std::ranges::any_of(files, [&path](const fs::path& each) {
    return each.filename() == path.filename() && is_same(each.parent_path(), path.parent_path());
  });
}

Notes who_asks(const InstallTarget& target, const std::vector<fs::path>& changed) {
  const auto program = (target.bin_dir / conflist::our_type).string();
  Notes notes;
  std::vector<std::string> not_looked;
  for (const auto& list : lists_that_ask(target, not_looked)) {
    if (is_changed(list, changed)) continue;
    notes.push_back(
        list.string() + " asks for " + program +
        ", which stays: without it no pod of that list starts or ends; ip-masq uninstall --conf-dir " +
        nat::shell_word(list.parent_path().string()) + " takes the entry out there");
  }
  for (const auto& why : not_looked)
    notes.push_back("could not look whether another list asks for " + program + ", which stays: " + why);
  return notes;
}

// An agent holds this lock as long as it runs.
Notes who_may_put_it_back(const fs::path& state_dir, const fs::path& conf_dir) {
  const auto lock = state_dir / state::agent_lock_file;
  if (!is_of_this_node(conf_dir)) return {};
  try {
    if (!os::is_there(lock)) return {};
    const os::FileLock nobody(lock, os::LockKind::shared, std::chrono::nanoseconds(0));
    return {};
  } catch (const Error& error) {
    if (error.kind() != Kind::busy)
      return {std::string("could not look whether an agent puts the entry back: ") + error.what()};
  }
  return {"an agent runs on " + state_dir.string() +
          ", and with --keep-installed it puts the entry back: stop it, then ip-masq uninstall again"};
}

}  // namespace

Notes settle_program(const fs::path& state_dir, const InstallTarget& target, bool are_records_gone,
                     Doing doing, const std::vector<fs::path>& changed, std::ostream& output) {
  auto notes = are_records_gone ? Notes() : who_is_left(state_dir);
  auto needed = who_asks(target, changed);
  const bool is_back =
      notes.empty() && needed.empty() && put_program_back(target.bin_dir, doing, notes, output);
  std::ranges::move(who_may_put_it_back(state_dir, target.conf_dir), std::back_inserter(needed));
  if (needed.empty() && !is_back) needed = what_stays(target.bin_dir);
  std::ranges::move(needed, std::back_inserter(notes));
  return notes;
}

}  // namespace ipmasq::plugin
