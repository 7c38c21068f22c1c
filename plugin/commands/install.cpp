#include "plugin/commands/install.hpp"

#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conflist/plan.hpp"
#include "conflist/read_folder.hpp"
#include "doctor/program_trouble.hpp"
#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "os/file.hpp"
#include "os/obstacle.hpp"
#include "os/shared_folder.hpp"
#include "plugin/commands/carry_out.hpp"
#include "plugin/commands/plugin_folders.hpp"
#include "plugin/commands/program_version.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;
using conflist::Plan;

// Why a program that is there is to stay; empty where it is not.
std::string why_it_stays(const fs::path& path) {
  const auto there = program_version(path);
  const auto ours = parse_version(IP_MASQ_VERSION);
  if (!there || !ours || *there <= *ours) return {};
  return path.string() + " was left as it is: it is ip-masq " + to_text(*there) + ", newer than this one, " +
         to_text(*ours);
}

bool is_kept_as(const fs::path& path, const fs::path& kept) {
  std::error_code error;
  return leads_nowhere(path) ? fs::read_symlink(path) == fs::read_symlink(kept, error)
                             : os::have_the_same_bytes(path, kept);
}

// Of somebody else what has our name is kept beside it, a link as the link.
void keep_others(const fs::path& path, const fs::path& kept, Doing doing, std::ostream& output) {
  const auto told = "kept " + path.string() + ", which is not ip-masq's, as " + kept.string();
  os::check_no_obstacle_before(path);
  if (doing == Doing::pretend ? !os::is_there(kept) : os::link_shared(path, kept))
    return tell(told, doing, output);
  if (is_kept_as(path, kept)) return;
  throw Error(Kind::wrong_config,
              path.string() + " is not ip-masq's, and there is a " + kept.string() + " already",
              "move one of them away");
}

// What is neither a file nor a link to one is nobody's to replace.
void check_that_it_is_a_file(const fs::path& path) {
  const auto what = doctor::what_is_no_file(path);
  if (what.empty()) return;
  throw Error(Kind::wrong_config, path.string() + " is " + what + ": no program can stand there",
              doctor::move_away(path));
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
  check_that_it_is_a_file(path);
  tell_what_is_tidied_up(bin_dir, doing, output);
  for (int tries = 0; tries < most_tries_to_write; ++tries) {
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
    os::check_no_obstacle_before(place);
    if (doing == Doing::pretend) return tell("put " + path.string(), doing, output);
    os::make_folder(bin_dir, 0755);
    const os::SharedFolder held(bin_dir);
    if (os::copy_program_shared(self, place, may_go)) return tell("put " + path.string(), doing, output);
    std::this_thread::sleep_for(rest_between_tries);
  }
  throw_busy(path);
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
    return conflist::plan_install(folder, conflist::read_folder(folder), target.after, target.taken,
                                  target.named);
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

std::vector<conflist::Network> lists_once_installed(const InstallTarget& target) {
  const auto folder = target.conf_dir.string();
  const auto plan = conflist::plan_install(folder, conflist::read_folder(folder), target.after);
  std::vector<conflist::Network> lists;
  for (const auto& step : plan.value_or(Plan()).steps) {
    if (step.kind != conflist::Step::Kind::write || !step.name.ends_with(".conflist")) continue;
    auto written = conflist::read_networks({{.name = step.name, .text = step.text}});
    lists.push_back(std::move(written.front()));
  }
  return lists;
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

}  // namespace ipmasq::plugin
