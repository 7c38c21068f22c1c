#include "plugin/commands/uninstall.hpp"

#include <algorithm>
#include <iterator>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>

#include "conflist/plan.hpp"
#include "conflist/read_folder.hpp"
#include "doctor/program_trouble.hpp"
#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "os/file.hpp"
#include "os/shared_folder.hpp"
#include "plugin/agent/config_copy.hpp"
#include "plugin/commands/program_version.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;
using conflist::Plan;

// Why what install has kept does not take the place of our program; empty where it does.
std::string why_it_is_left(const fs::path& path, const fs::path& kept) {
  for (const auto& each : {path, kept}) {
    if (const auto what = doctor::what_is_no_file(each); !what.empty()) return each.string() + " is " + what;
  }
  const bool is_another = os::is_there(path) && (leads_nowhere(path) || !program_version(path));
  if (is_another) return path.string() + " is not ip-masq's either";
  return doctor::is_cut_off(kept) ? "it is empty or cut off" : "";
}

// In the order that they stand in.
std::vector<fs::path> folders_of(const InstallTarget& target) {
  std::vector<fs::path> folders{target.conf_dir};
  for (const auto* const others : {&target.conf_dirs_of_runtimes, &target.conf_dirs_of_revisions})
    std::ranges::copy_if(*others, std::back_inserter(folders),
                         [](const fs::path& folder) { return os::is_there(folder); });
  return folders;
}

void throw_failures(const Plan& done) {
  if (done.failures.empty()) return;
  std::string joined;
  for (const auto& failure : done.failures) joined += (joined.empty() ? "" : "; ") + failure;
  throw Error(Kind::failed, "an entry may be left: " + joined);
}

}  // namespace

bool put_program_back(const fs::path& bin_dir, Doing doing, Notes& notes, std::ostream& output) {
  const auto path = bin_dir / conflist::our_type;
  const fs::path kept = path.string() + std::string(kept_suffix);
  if (!os::is_there(kept)) return false;
  if (auto why = why_it_is_left(path, kept); !why.empty()) {
    notes.push_back(kept.string() + " was left: " + why);
    return false;
  }
  tell_what_is_tidied_up(bin_dir, doing, output);
  if (doing == Doing::act) {
    const os::SharedFolder held(bin_dir);
    os::move_shared(kept, path);
  }
  tell("put " + path.string() + " back, as " + kept.string() + " has it", doing, output);
  return true;
}

Uninstalled uninstall(const InstallTarget& target, Doing doing, std::ostream& output) {
  Plan done;
  Uninstalled uninstalled;
  for (const auto& each : folders_of(target)) {
    const auto folder = each.string();
    const auto look = [&] { return conflist::plan_uninstall(folder, conflist::read_folder(folder)); };
    auto plan = carry_out(look(), folder, doing, output, look);
    for (const auto& step : plan.steps) uninstalled.files.push_back(each / step.name);
    std::ranges::move(plan.notes, std::back_inserter(uninstalled.notes));
    std::ranges::move(plan.failures, std::back_inserter(done.failures));
  }
  throw_failures(done);
  return uninstalled;
}

Notes what_stays(const fs::path& bin_dir) {
  const auto path = bin_dir / conflist::our_type;
  try {
    if (const auto what = doctor::what_is_no_file(path); !what.empty())
      return {path.string() + " is " + what + ", and not of ip-masq: it was left"};
    if (leads_nowhere(path)) {
      return {path.string() + " is a link to " + fs::read_symlink(path).string() +
              ", which is not there, or not seen here: it was left"};
    }
    if (!os::is_there(path) || !program_version(path)) return {};
  } catch (const Error& error) {
    return {std::string("could not look whether the program stays: ") + error.what()};
  }
  return {path.string() +
          " stays, since pods that run need it for their end, and doctor misses the entry as " +
          "long as it is there: once none of these pods is left, rm " + nat::shell_word(path.string())};
}

void remove_copy_of_agent(Doing doing, std::ostream& output) {
  const auto path = ConfigCopy{}.to;
  if (doing == Doing::act) return tell(remove_copy(path), doing, output);
  for (const auto& each : files_of_copy(path)) tell("removed " + each.string(), doing, output);
}

}  // namespace ipmasq::plugin
