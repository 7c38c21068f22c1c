#include "plugin/commands/install.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "conflist/plan.hpp"
#include "conflist/read_folder.hpp"
#include "doctor/program_trouble.hpp"
#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "os/file.hpp"
#include "os/shared_folder.hpp"
#include "plugin/commands/plugin_folders.hpp"
#include "plugin/commands/program_version.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;
using conflist::Plan;
using conflist::Step;

// Told of what was done, or would be.
void tell(const std::string& done, Doing doing, std::ostream& output) {
  constexpr std::string_view past = "took";
  if (done.empty()) return;
  if (doing == Doing::act) {
    output << done << '\n';
  } else {
    output << "would have " << (done.starts_with(past) ? "taken" + done.substr(past.size()) : done) << '\n';
  }
}

// False where somebody else has changed what the step was planned by.
bool take(const fs::path& folder, const Step& step) {
  switch (step.kind) {
    case Step::Kind::write:
      return os::write_shared(folder / step.name, step.text, step.before, folder / step.other);
    case Step::Kind::rename:
      return os::rename_shared(folder / step.other, folder / step.name, step.other_before.value_or(""),
                               step.before);
    case Step::Kind::link:
      return os::link_shared(folder / step.other, folder / step.name);
    case Step::Kind::remove:
      return os::remove_shared(folder / step.name, step.before);
  }
  return true;
}

// What was made for a step that could not be taken then; what somebody else has changed since stays.
void take_back(const fs::path& folder, const Step& step) {
  const auto path = folder / step.name;
  if (step.kind == Step::Kind::write) {
    static_cast<void>(step.before ? os::write_shared(path, *step.before, step.text, path)
                                  : os::remove_shared(path, step.text));
  } else if (step.kind == Step::Kind::link) {
    static_cast<void>(os::remove_shared(path, step.other_before));
  }
}

// Takes all steps and tells of them; where somebody else has changed a file of one, takes back those before
// it: the name of that file. What could not be done and need not have been goes to the notes.
std::optional<std::string> follow(Plan& plan, const fs::path& folder, Doing doing, std::ostream& output) {
  std::vector<std::string> told;
  const auto tell_all = [&] {
    for (const auto& line : told) tell(line, doing, output);
  };
  for (auto step = plan.steps.begin(); step != plan.steps.end(); ++step) {
    try {
      if (doing == Doing::act && !take(folder, *step)) {
        auto changed = step->kind == Step::Kind::rename ? step->other : step->name;
        while (step != plan.steps.begin()) take_back(folder, *--step);
        return changed;
      }
    } catch (const Error& error) {
      if (!step->may_fail) {
        tell_all();
        throw;
      }
      plan.notes.emplace_back(error.what());
    }
    told.push_back(step->told);
  }
  tell_all();
  return std::nullopt;
}

constexpr std::string_view kept_suffix = ".before-ip-masq";

// Why a program that is there is to stay; empty where it is not.
std::string why_it_stays(const fs::path& path) {
  const auto there = program_version(path);
  const auto ours = parse_version(IP_MASQ_VERSION);
  if (!there || !ours || *there <= *ours) return {};
  return path.string() + " was left as it is: it is ip-masq " + to_text(*there) + ", newer than this one, " +
         to_text(*ours);
}

// How often somebody else may write the same file while we are at it, and the rest in between.
constexpr int most_tries = 20;
constexpr auto rest = std::chrono::milliseconds(50);

[[noreturn]] void throw_busy(const fs::path& path) {
  throw Error(Kind::busy,
              path.string() + " was left as it is: somebody else is writing it all the time, tried " +
                  std::to_string(most_tries) + " times",
              "\"fuser -v " + path.string() + "\" names who has it open");
}

bool leads_nowhere(const fs::path& path) {
  std::error_code error;
  return fs::is_symlink(fs::symlink_status(path, error)) &&
         fs::status(path, error).type() == fs::file_type::not_found;
}

bool is_kept_as(const fs::path& path, const fs::path& kept) {
  std::error_code error;
  return leads_nowhere(path) ? fs::read_symlink(path) == fs::read_symlink(kept, error)
                             : os::have_the_same_bytes(path, kept);
}

// Of somebody else what has our name is kept beside it, a link as the link.
void keep_others(const fs::path& path, const fs::path& kept, Doing doing, std::ostream& output) {
  const auto told = "kept " + path.string() + ", which is not ip-masq's, as " + kept.string();
  if (doing == Doing::pretend) return tell(told, doing, output);
  if (os::link_shared(path, kept)) return tell(told, doing, output);
  if (is_kept_as(path, kept)) return;
  throw Error(Kind::wrong_config,
              path.string() + " is not ip-masq's, and there is a " + kept.string() + " already",
              "move one of them away");
}

bool can_be_run(const fs::path& path) {
  std::error_code error;
  const auto mode = fs::status(path, error).permissions();
  constexpr auto by_all = fs::perms::owner_exec | fs::perms::group_exec | fs::perms::others_exec;
  return !error && (mode & by_all) == by_all;
}

void install_program(const fs::path& bin_dir, Doing doing, Notes& notes, std::ostream& output) {
  const fs::path self = "/proc/self/exe";
  const auto path = bin_dir / conflist::our_type;
  const fs::path kept = path.string() + std::string(kept_suffix);
  const auto may_go = [&kept](const fs::path& found) {
    if (doctor::is_cut_off(found)) return true;
    return program_version(found) ? why_it_stays(found).empty()
                                  : os::is_there(kept) && os::have_the_same_bytes(found, kept);
  };
  for (int tries = 0; tries < most_tries; ++tries) {
    auto place = path;
    if (leads_nowhere(path)) {
      keep_others(path, kept, doing, output);
      if (doing == Doing::act) os::remove_file(path);
    } else if (os::is_there(path)) {
      const bool is_cut_off = doctor::is_cut_off(path);  // nobody's, whoever's it was
      if (auto why = is_cut_off ? std::string() : why_it_stays(path); !why.empty()) {
        if (!can_be_run(path))
          throw Error(Kind::wrong_config, why + ", and nobody can run it", "chmod 755 " + path.string());
        return notes.push_back(std::move(why));
      }
      if (can_be_run(path) && os::have_the_same_bytes(self, path))
        return doing == Doing::act ? os::tidy_up(bin_dir) : void();
      if (is_cut_off || program_version(path)) {
        place = fs::canonical(path);
      } else {
        keep_others(path, kept, doing, output);
      }
    }
    if (doing == Doing::pretend) return tell("put " + path.string(), doing, output);
    os::make_folder(bin_dir, 0755);
    const os::SharedFolder held(bin_dir);
    if (os::copy_program_shared(self, place, may_go)) return tell("put " + path.string(), doing, output);
    std::this_thread::sleep_for(rest);
  }
  throw_busy(path);
}

// Where plugins of lists may stand.
std::vector<fs::path> folders_in(const fs::path& folder) {
  std::vector<fs::path> folders;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->is_directory(error)) folders.push_back(entry->path());
  }
  return folders;
}

void tidy_up(const fs::path& folder) {
  os::tidy_up(folder);
  for (const auto& each : folders_in(folder)) os::tidy_up(each);
}

// Makes plans until all steps of one were taken: `make` plans by what the folder's files say. Nothing is done
// and nobody held off where there is nothing to do.
template <typename Make>
Plan carry_out(Plan plan, const std::string& folder, Doing doing, std::ostream& output, const Make& make) {
  if (doing == Doing::pretend || plan.steps.empty()) {
    if (doing == Doing::act) tidy_up(folder);
    follow(plan, folder, doing, output);
    return plan;
  }
  const os::SharedFolder held(folder);
  std::optional<std::string> changed;
  for (int tries = 0; tries < most_tries; ++tries) {
    plan = make();  // what was seen before the folder was held may be no more
    changed = follow(plan, folder, doing, output);
    if (!changed) return plan;
    std::this_thread::sleep_for(rest);
  }
  throw_busy(fs::path(folder) / *changed);
}

PlaceJudged judged(const InstallTarget& target) {
  const auto lists = conflist::read_networks(conflist::read_folder(target.conf_dir.string()));
  const auto* const list = conflist::first_with(lists, target.after);
  return list == nullptr ? PlaceJudged() : judge(target, *list);
}

std::string what_is_there(const InstallTarget& target) {
  const auto folder = target.conf_dir.string();
  std::string lines;
  for (const auto& line : conflist::why_not_found(folder, conflist::read_folder(folder), target.after))
    lines += "\n" + nat::printable(line);
  return lines;
}

}  // namespace

Error no_conflist(const InstallTarget& target) {
  return {Kind::wrong_config,
          "no conflist in " + target.conf_dir.string() + " has a plugin of type \"" + target.after + "\""};
}

std::optional<Error> try_to_install(const InstallTarget& target, Doing doing, Notes& notes,
                                    std::ostream& output) {
  const auto folder = target.conf_dir.string();
  const auto look = [&] {
    return conflist::plan_install(folder, conflist::read_folder(folder), target.after);
  };
  auto plan = look();
  if (!plan) return no_conflist(target);
  auto place = judged(target);
  if (place.refusal) return place.refusal;
  notes.insert(notes.end(), place.notes.begin(), place.notes.end());
  install_program(target.bin_dir, doing, notes, output);
  bool is_there = true;
  const auto done = carry_out(std::move(*plan), folder, doing, output, [&] {
    auto again = look();
    is_there = again.has_value();
    return std::move(again).value_or(Plan());
  });
  notes.insert(notes.end(), done.notes.begin(), done.notes.end());
  return is_there ? std::nullopt : std::optional(no_conflist(target));
}

std::set<fs::path> programs_asked_for(const InstallTarget& target) {
  const auto lists = conflist::read_networks(conflist::read_folder(target.conf_dir.string()));
  const auto* const list = conflist::first_with(lists, target.after);
  return list == nullptr ? std::set<fs::path>() : programs_of(target, *list);
}

watch::FileWatch::Endings conflists_of(const fs::path& conf_dir) {
  watch::FileWatch::Endings endings{{conf_dir, {conflist::extensions.begin(), conflist::extensions.end()}}};
  for (const auto& folder : folders_in(conf_dir)) endings[folder] = {".conf"};
  return endings;
}

Notes install(const InstallTarget& target, Doing doing, std::ostream& output) {
  Notes notes;
  const auto why = try_to_install(target, doing, notes, output);
  if (!why) return notes;
  if (!why->details().empty()) throw Error(*why);
  throw Error(why->kind(), why->what(),
              "install that plugin first, or name another with --after" + what_is_there(target));
}

void put_program_back(const fs::path& bin_dir, Doing doing, Notes& notes, std::ostream& output) {
  const auto path = bin_dir / conflist::our_type;
  const fs::path kept = path.string() + std::string(kept_suffix);
  if (!os::is_there(kept)) return;
  if (os::is_there(path) && !program_version(path))
    return notes.push_back(kept.string() + " was left: " + path.string() + " is not ip-masq's either");
  if (doctor::is_cut_off(kept)) return notes.push_back(kept.string() + " was left: it is empty or cut off");
  const auto told = "put " + path.string() + " back, as " + kept.string() + " has it";
  if (doing == Doing::act) {
    const os::SharedFolder held(bin_dir);
    os::move_shared(kept, path);
  }
  tell(told, doing, output);
}

Notes uninstall(const InstallTarget& target, Doing doing, std::ostream& output) {
  auto folders = target.conf_dirs_of_runtimes;
  std::erase_if(folders, [](const fs::path& folder) { return !os::is_there(folder); });
  folders.insert(folders.begin(), target.conf_dir);
  Plan done;
  for (const auto& each : folders) {
    const auto folder = each.string();
    const auto look = [&] { return conflist::plan_uninstall(folder, conflist::read_folder(folder)); };
    auto plan = carry_out(look(), folder, doing, output, look);
    std::ranges::move(plan.notes, std::back_inserter(done.notes));
    std::ranges::move(plan.failures, std::back_inserter(done.failures));
  }
  if (done.failures.empty()) return done.notes;
  std::string joined;
  for (const auto& failure : done.failures) joined += (joined.empty() ? "" : "; ") + failure;
  throw Error(Kind::failed, "an entry may be left: " + joined);
}

Notes what_stays(const fs::path& bin_dir) {
  const auto path = bin_dir / conflist::our_type;
  try {
    if (leads_nowhere(path) || !os::is_there(path) || !program_version(path)) return {};
  } catch (const Error& error) {
    return {std::string("could not look whether the program stays: ") + error.what()};
  }
  return {path.string() +
          " stays, since pods that run need it for their end, and doctor misses the entry as " +
          "long as it is there: once none of these pods is left, rm " + nat::shell_word(path.string())};
}

}  // namespace ipmasq::plugin
