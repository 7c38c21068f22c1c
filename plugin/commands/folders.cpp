#include "plugin/commands/folders.hpp"

#include <algorithm>
#include <system_error>

#include "error/error.hpp"
#include "plugin/commands/install.hpp"
#include "runtime/choose.hpp"
#include "runtime/kubelet.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;

runtime::Choice ask_the_node(const FolderOptions& options,
                             const runtime::NodeFiles& files = runtime::RealNodeFiles()) {
  return runtime::choose(options.flavour, files);
}

bool is_one_of(const fs::path& folder, const std::vector<fs::path>& folders) {
  return std::ranges::any_of(folders, [&folder](const fs::path& each) { return is_same(folder, each); });
}

CommandFolders with_named(const FolderOptions& options, CommandFolders folders) {
  folders.conf_dir = options.conf_dir.value_or(folders.conf_dir);
  folders.bin_dir = options.bin_dir.value_or(folders.bin_dir);
  return folders;
}

CommandFolders usual_folders(const FolderOptions& options) {
  return with_named(options, {InstallTarget{}.conf_dir, InstallTarget{}.bin_dir});
}

// Whether the runtime reads conflists there, if only for pods of a RuntimeClass.
bool reads(const runtime::Choice& choice, const fs::path& conf_dir) {
  return choice.is_found && !choice.is_assumed &&
         (is_same(conf_dir, choice.networks) ||
          std::ranges::any_of(choice.of_pods.own_networks,
                              [&conf_dir](const auto& own) { return is_same(conf_dir, own.networks); }));
}

conflist::Taken taken_by(const runtime::MostLists& most) {
  return {most.count, most.said_by};
}

// Where it looks for plugins of these conflists, or that it does not where the operator says; and its other
// folders of conflists.
void add_search(const FolderOptions& options, const runtime::Choice& choice, CommandFolders& folders) {
  if (!reads(choice, folders.conf_dir)) return;
  if (is_same(folders.conf_dir, choice.networks)) {
    folders.taken = taken_by(choice.of_pods.most_lists);
    folders.named = {choice.of_pods.network, choice.of_pods.network_said_by};
    folders.conf_dirs_of_revisions = choice.of_pods.other_revisions;
    for (const auto& own : choice.of_pods.own_networks) {
      if (!is_same(own.networks, folders.conf_dir)) folders.conf_dirs_of_runtimes.push_back(own.networks);
    }
  } else {
    const auto own = std::ranges::find_if(choice.of_pods.own_networks, [&folders](const auto& each) {
      return is_same(each.networks, folders.conf_dir);
    });
    folders.taken = taken_by(own->most_lists);
  }
  for (const auto* const plugins : {&choice.plugins, &choice.of_pods.plugins}) {
    if (!is_one_of(folders.bin_dir, *plugins)) continue;
    folders.searched = *plugins;
    return;
  }
  folders.contradiction = "--bin-dir is " + folders.bin_dir.string() + "; " + choice.reason;
  folders.is_meant = options.conf_dir && options.bin_dir;
}

// The runtime's own folder of conflists goes with the runtime's folder of plugins.
CommandFolders named_folders(const FolderOptions& options, const runtime::NodeFiles& files) {
  auto folders = usual_folders(options);
  try {
    const auto choice = ask_the_node(options, files);
    if (!options.bin_dir && reads(choice, folders.conf_dir)) {
      folders.bin_dir = choice.plugin;
      folders.reason = choice.reason;
    }
    add_search(options, choice, folders);
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): whoever names folders has said which are meant
  }
  return folders;
}

std::vector<fs::path> named_bin_dirs(const FolderOptions& options) {
  auto folders = options.more_bin_dirs;
  if (options.bin_dir) folders.insert(folders.begin(), *options.bin_dir);
  return folders;
}

// Of what is looked at since the operator named a folder, what the runtime does not use.
std::vector<std::string> elsewhere(const FolderOptions& options, const fs::path& conf_dir,
                                   const runtime::Choice& choice) {
  std::vector<std::string> lines;
  if (!is_same(conf_dir, choice.networks)) {
    lines.push_back((options.conf_dir ? "--conf-dir is " : "without --conf-dir it is ") + conf_dir.string() +
                    "; " + choice.reason);
  }
  for (const auto& each : named_bin_dirs(options)) {
    if (!is_one_of(each, choice.plugins))
      lines.push_back("--bin-dir is " + each.string() + "; " + choice.reason);
  }
  return lines;
}

// A node whose kubelet's runtime has no file runs it as it is built, with one folder of plugins.
bool is_as_built(const FolderOptions& options, const runtime::Choice& choice) {
  return options.bin_dir && is_one_of(*options.bin_dir, choice.plugins) &&
         runtime::read_kubelet(runtime::RealNodeFiles());
}

// What the runtime's files say of the lists of its folder.
void take_choice(const FolderOptions& options, const runtime::Choice& choice, DoctorFolders& folders) {
  if (!choice.is_found && is_as_built(options, choice)) folders.plugins = {.searched = choice.plugins};
  if (!choice.is_found) return;
  const bool is_its_own = is_same(folders.lists.path, choice.networks);
  if (options.bin_dir ? is_one_of(*options.bin_dir, choice.plugins) : options.asks_the_node() || is_its_own)
    folders.plugins = {.searched = choice.plugins};
  folders.elsewhere = elsewhere(options, folders.lists.path, choice);
  if (!is_its_own) return;
  if (!options.flavour) folders.lists.said_by = doctor::SaidBy::runtime;
  const auto& of_pods = choice.of_pods;
  folders.taking = {choice.is_podmans, of_pods.network, of_pods.network_said_by, of_pods.is_crios,
                    taken_by(of_pods.most_lists)};
  for (const auto& revision : of_pods.other_revisions) folders.revisions.push_back({{}, revision, {}});
  for (const auto& own : of_pods.own_networks) {
    folders.own_lists.push_back({own.runtime, own.networks, own.said_by});
    folders.own_lists.back().taken = taken_by(own.most_lists);
  }
}

}  // namespace

// microk8s has /etc/cni/net.d lead to its own folder.
bool is_same(const fs::path& left, const fs::path& right) {
  std::error_code error;
  return (left / "").lexically_normal() == (right / "").lexically_normal() ||
         fs::equivalent(left, right, error);
}

std::string whole_text(const Error& error) {
  return error.what() + (error.details().empty() ? "" : "; " + error.details());
}

InstallTarget target_in(const CommandFolders& folders, const std::string& after) {
  return {folders.bin_dir,
          folders.conf_dir,
          after,
          folders.searched,
          folders.contradiction,
          folders.is_meant,
          folders.conf_dirs_of_runtimes,
          folders.conf_dirs_of_revisions,
          folders.taken,
          folders.named};
}

CommandFolders folders_for(const FolderOptions& options, const runtime::NodeFiles& files) {
  if (!options.asks_the_node()) return named_folders(options, files);
  const auto choice = ask_the_node(options, files);
  auto folders = with_named(options, {choice.networks, choice.plugin, choice.reason, choice.is_found});
  if (options.conf_dir && options.bin_dir) folders.reason.clear();
  add_search(options, choice, folders);
  return folders;
}

CommandFolders folders_for_agent(const FolderOptions& options, const runtime::NodeFiles& files) {
  try {
    auto folders = folders_for(options, files);
    if (!folders.is_found) folders.reason.clear();
    return folders;
  } catch (const Error& error) {
    auto folders = usual_folders(options);
    folders.trouble = whole_text(error);
    return folders;
  }
}

bool is_of_this_node(const fs::path& conf_dir) {
  if (is_same(conf_dir, InstallTarget{}.conf_dir)) return true;
  try {
    return std::ranges::any_of(runtime::find_candidates(runtime::RealNodeFiles()),
                               [&](const auto& each) { return is_same(conf_dir, each.folders.networks); });
  } catch (const Error&) {
    return false;
  }
}

DoctorFolders folders_for_doctor(const FolderOptions& options) {
  using doctor::SaidBy;
  const bool is_named = options.conf_dir || options.flavour;
  DoctorFolders folders{
      .lists = {usual_folders(options).conf_dir, is_named ? SaidBy::its_user : SaidBy::nobody},
      .plugins = {.named = named_bin_dirs(options)}};
  try {
    const auto choice = ask_the_node(options);
    if (options.asks_the_node()) folders.lists.path = options.conf_dir.value_or(choice.networks);
    take_choice(options, choice, folders);
  } catch (const Error& error) {
    if (options.conf_dir && !options.asks_the_node())
      return folders;  // whoever names folders has said which are meant
    if (!options.conf_dir) folders.lists.said_by = SaidBy::nobody;
    folders.not_looked.push_back("in the runtime's folders, but in " + folders.lists.path.string() + ": " +
                                 whole_text(error));
  }
  return folders;
}

}  // namespace ipmasq::plugin
