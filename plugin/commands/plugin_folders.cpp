#include "plugin/commands/plugin_folders.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>
#include <utility>

#include "conflist/read_folder.hpp"
#include "conflist/typed_keys.hpp"
#include "plugin/commands/folders.hpp"
#include "runtime/choose.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;
using Folders = std::vector<fs::path>;
using Types = std::vector<std::string>;
using Lines = std::vector<std::string>;

// As runtimes are built or packaged.
constexpr std::array usual_folders{"/opt/cni/bin",         "/usr/lib/cni",
                                   "/usr/libexec/cni",     "/var/lib/rancher/k3s/data/current/bin",
                                   "/home/kubernetes/bin", "/var/lib/rancher/k3s/data/cni"};

bool holds(const fs::path& folder, const std::string& type) {
  if (type.find('/') != std::string::npos) return false;
  std::error_code error;
  const auto status = fs::symlink_status(folder / type, error);
  if (status.type() == fs::file_type::none)
    throw Error(Kind::failed, "cannot look at " + (folder / type).string() + ": " + error.message());
  return fs::exists(status);
}

Types others_of(const conflist::Network& list) {
  Types types;
  for (const auto& plugin : list.plugins) {
    const auto type = conflist::type_of(plugin);
    if (type != conflist::our_type && std::ranges::find(types, type) == types.end()) types.push_back(type);
  }
  return types;
}

Types missing_in(const Folders& folders, const Types& types) {
  Types missing;
  std::ranges::copy_if(types, std::back_inserter(missing), [&folders](const std::string& type) {
    return std::ranges::none_of(folders, [&type](const fs::path& folder) { return holds(folder, type); });
  });
  return missing;
}

// Those that this node's runtimes name, and the usual ones, without what is searched already.
Folders other_folders(const Folders& searched) {
  Folders all;
  try {
    for (const auto& each : runtime::find_candidates(runtime::RealNodeFiles()))
      all.insert(all.end(), each.folders.plugins.begin(), each.folders.plugins.end());
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): who chose the folders has told of it
  }
  all.insert(all.end(), usual_folders.begin(), usual_folders.end());
  Folders others;
  for (auto& each : all) {
    const auto is_it = [&each](const fs::path& known) { return is_same(known, each); };
    if (std::ranges::none_of(searched, is_it) && std::ranges::none_of(others, is_it))
      others.push_back(std::move(each));
  }
  return others;
}

Folders with_all(const Folders& folders, const Types& types) {
  Folders found;
  std::ranges::copy_if(folders, std::back_inserter(found),
                       [&types](const fs::path& each) { return missing_in({each}, types).empty(); });
  return found;
}

template <typename Names>
std::string joined(const Names& names, std::string_view between) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : std::string(between)) + fs::path(name).string();
  return text;
}

std::string what_is_missing(const Folders& searched, const Types& missing, const std::string& list) {
  return "no program " + joined(missing, ", ") + " in " + joined(searched, " or ") + ", which " + list +
         " asks for";
}

Error refusal(const std::string& missing, const Folders& right) {
  const std::string so = missing +
                         ": a runtime that starts pods by it looks for plugins in another folder, and would "
                         "not find ip-masq";
  if (!right.empty())
    return {Kind::wrong_config, so + "; " + joined(right, " and ") + " has what it asks for",
            "name the folder: --bin-dir " + joined(right, " or --bin-dir ")};
  return {Kind::wrong_config, so,
          "name that folder with --bin-dir (the chart's binDir; of k3s before v1.31.2 it is "
          "/var/lib/rancher/k3s/data/current/bin); where no folder has it no pod starts, and it is to be "
          "installed first"};
}

Error refusal_of_the_runtime(const InstallTarget& target) {
  return {Kind::wrong_config,
          target.contradiction + ": with the program elsewhere than the runtime looks no pod would start",
          "leave --bin-dir out; where the runtime does not read those files name both folders: --conf-dir " +
              target.conf_dir.string() + " --bin-dir " + target.bin_dir.string()};
}

// The runtime looks nowhere else.
PlaceJudged judge_known(const std::string& missing, bool is_refused) {
  const auto so =
      missing + ": the runtime looks nowhere else, and no pod starts by that list before that is mended";
  if (!is_refused) return {.notes = {so}};
  return {.refusal =
              Error(Kind::wrong_config, so,
                    "have its owner put it there first: flannel's own pod brings flannel, the package or "
                    "the release of containernetworking's plugins brings bridge, host-local and portmap")};
}

Folders folders_of(const InstallTarget& target) {
  return target.searched.empty() ? Folders{target.bin_dir} : target.searched;
}

void add(Folders& folders, const fs::path& folder) {
  if (std::ranges::none_of(folders, [&folder](const fs::path& each) { return is_same(each, folder); }))
    folders.push_back(folder);
}

// Of all that start pods by programs of bin_dir.
Folders folders_of_lists(const InstallTarget& target, Lines& not_looked) {
  Folders folders{target.conf_dir};
  for (const auto& each : target.conf_dirs_of_runtimes) add(folders, each);
  try {
    for (const auto& candidate : runtime::find_candidates(runtime::RealNodeFiles())) {
      const auto& of_runtime = candidate.folders;
      if (std::ranges::none_of(of_runtime.plugins,
                               [&target](const fs::path& each) { return is_same(each, target.bin_dir); }))
        continue;
      add(folders, of_runtime.networks);
      for (const auto& own : of_runtime.own_networks) add(folders, own.networks);
    }
  } catch (const Error& error) {
    not_looked.push_back(whole_text(error));
  }
  return folders;
}

}  // namespace

PlaceJudged judge(const InstallTarget& target, const conflist::Network& list) {
  PlaceJudged judged;
  if (!target.contradiction.empty()) {
    if (!target.is_meant) return {.refusal = refusal_of_the_runtime(target)};
    judged.notes.push_back(target.contradiction);
  }
  const auto searched = folders_of(target);
  const auto types = others_of(list);
  const auto missing = missing_in(searched, types);
  if (missing.empty()) return judged;
  const auto text = what_is_missing(searched, missing, (target.conf_dir / list.file.name).string());
  const bool is_in_use = list.our_place().has_value();
  const bool is_after_missing = std::ranges::find(missing, target.after) != missing.end();
  if (!target.searched.empty()) return judge_known(text, is_after_missing && !is_in_use);
  const auto others = other_folders(searched);
  if (auto right = with_all(others, types); !right.empty()) return {.refusal = refusal(text, right)};
  if (is_after_missing && !is_in_use) return {.refusal = refusal(text, with_all(others, {target.after}))};
  const auto elsewhere = with_all(others, missing);
  judged.notes.push_back(text + ": " +
                         (elsewhere.empty() ? "no pod starts where the runtime does not find it elsewhere"
                                            : "pods start where the runtime looks in " +
                                                  joined(elsewhere, " or ") + " as well"));
  return judged;
}

Folders lists_that_ask(const InstallTarget& target, Lines& not_looked) {
  Folders lists;
  for (const auto& folder : folders_of_lists(target, not_looked)) {
    try {
      for (const auto& list : conflist::read_networks(conflist::read_folder(folder.string()))) {
        const auto path = folder / list.file.name;
        if (list.file.is_unread)
          not_looked.push_back("cannot read " + path.string() + ": " + list.file.trouble);
        if (conflist::may_be_half_written(list)) not_looked.push_back(path.string() + ": " + list.reason);
        if (list.our_place()) lists.push_back(path);
      }
    } catch (const Error& error) {
      if (error.kind() != Kind::absent) not_looked.emplace_back(error.what());
    }
  }
  return lists;
}

std::set<fs::path> programs_of(const InstallTarget& target, const conflist::Network& list) {
  std::set<fs::path> programs;
  auto types = others_of(list);
  types.emplace_back(conflist::our_type);
  for (const auto& folder : folders_of(target)) {
    for (const auto& type : types) {
      if (type.find('/') == std::string::npos) programs.insert(folder / type);
    }
  }
  return programs;
}

}  // namespace ipmasq::plugin
