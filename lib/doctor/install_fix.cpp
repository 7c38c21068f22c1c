#include "doctor/install_fix.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "conflist/entry.hpp"
#include "conflist/folder.hpp"
#include "conflist/multus.hpp"
#include "conflist/plan.hpp"
#include "conflist/typed_keys.hpp"
#include "doctor/list_programs.hpp"
#include "error/error.hpp"

namespace ipmasq::doctor {

namespace {

namespace fs = std::filesystem;
using Lists = std::vector<conflist::Network>;

// A copy that multus keeps of a list goes by the name of multus' file.
bool is_one_of(const Lists& lists, const conflist::Network& list) {
  return std::ranges::any_of(lists, [&list](const auto& each) {
    return each.is_loaded() && each.file.name == list.file.name && each.plugins == list.plugins;
  });
}

// The plugin that install is to look for: it takes the first list that has one. nullopt where that is another
// list for all of them.
std::optional<std::string> plugin_to_look_for(const Lists& lists, const conflist::Network& list) {
  std::vector<std::string> types;
  if (list.holds(conflist::flannel_type)) types.emplace_back(conflist::flannel_type);
  for (const auto& plugin : list.plugins) types.push_back(conflist::type_of(plugin));
  if (!is_one_of(lists, list)) return types.front();
  const auto found = std::ranges::find_if(types, [&](const std::string& type) {
    return conflist::first_with(lists, type)->file.name == list.file.name;
  });
  return found == types.end() ? std::nullopt : std::optional(*found);
}

std::string install_command(const fs::path& conf_dir, const Lists& lists, const conflist::Network& list) {
  const auto type = plugin_to_look_for(lists, list);
  if (!type) {
    return "# put " + std::string(conflist::plain_entry) + " behind the other plugins of " +
           (conf_dir / list.file.name).string() +
           " by hand: each of them stands in a list before it, which ip-masq install takes";
  }
  return "ip-masq install --conf-dir " + nat::shell_word(conf_dir.string()) +
         (*type == conflist::flannel_type ? "" : " --after " + nat::shell_word(*type));
}

std::string with_folder(const std::string& command, const BinFolder& folder) {
  if (command.starts_with('#')) return command;
  return command + " --bin-dir " + nat::shell_word(folder.path.string());
}

// Of the folders that the runtime searches: the one that has our program, or else, since its owner puts
// plugins there, the first that has any, of those that can be written.
const BinFolder& folder_of_program(const std::vector<BinFolder>& searched) {
  const auto find = [&searched](const auto& is_it) { return std::ranges::find_if(searched, is_it); };
  auto found = find([](const auto& each) { return each.programs.contains(std::string(conflist::our_type)); });
  if (found == searched.end())
    found = find([](const auto& each) { return each.can_be_written && !each.programs.empty(); });
  if (found == searched.end()) found = find([](const auto& each) { return each.can_be_written; });
  return found == searched.end() ? searched.front() : *found;
}

// Not where no other program of the list is; where some are not, install would not put the entry in.
std::string into_search(const std::string& command, const Surroundings& node, const conflist::Network& list) {
  const auto others = others_of(list);
  std::string missing;
  std::size_t count = 0;
  for (const auto& program : others) {
    if (std::ranges::any_of(node.bin_folders,
                            [&program](const auto& each) { return each.programs.contains(program); }))
      continue;
    missing += (missing.empty() ? "" : ", ") + program;
    ++count;
  }
  const auto& folder = folder_of_program(node.bin_folders);
  if (count > 0 && count == others.size()) {
    return "# see first where the runtime looks for plugins: none of the list's others is in " +
           folder.path.string();
  }
  auto whole = with_folder(command, folder);
  const bool is_refused = count > 0 && !node.may_search_more && !list.our_place();
  if (!is_refused || command.starts_with('#')) return whole;
  return "# have its owner put " + missing + " where the runtime looks, " + folder.path.string() +
         "; then: " + whole;
}

// Why install would refuse the list as it is; empty where it would not.
std::string what_comes_first(const fs::path& conf_dir, const Lists& lists, const conflist::Network& list) {
  const auto type = plugin_to_look_for(lists, list);
  if (!type || !is_one_of(lists, list)) return {};
  std::string reasons;
  for (const auto& reason : conflist::why_add_would_fail(list))
    reasons +=
        (reasons.empty() ? "mend " + (conf_dir / list.file.name).string() + " first: " : "; ") + reason;
  if (!reasons.empty()) return reasons;
  std::vector<conflist::File> files;
  for (const auto& each : lists) files.push_back(each.file);
  try {
    static_cast<void>(conflist::plan_install(conf_dir.string(), files, *type));
  } catch (const Error& error) {
    if (error.kind() == Kind::wrong_config)
      return error.what() + (error.details().empty() ? "" : ": " + error.details());
  }
  return {};
}

std::string behind_what_comes_first(const fs::path& conf_dir, const Lists& lists,
                                    const conflist::Network& list, std::string command) {
  if (command.starts_with('#')) return command;
  if (const auto& obstacle = list.file.obstacle; obstacle && !obstacle->option().empty())
    return "chattr " + obstacle->option() + " " + nat::shell_word(obstacle->of.string()) + " && " + command;
  const auto first = what_comes_first(conf_dir, lists, list);
  return first.empty() ? command : "# " + first + "; then: " + command;
}

// What multus takes by its path is not to be renamed before multus takes the other name.
std::string behind_multus(const fs::path& conf_dir, const Lists& lists, const conflist::Network& list,
                          std::string command) {
  if (!list.is_single || !is_one_of(lists, list) || command.starts_with('#'))
    return behind_what_comes_first(conf_dir, lists, list, std::move(command));
  std::string before;
  for (const auto& named : conflist::who_names(list.file.name, lists, conf_dir))
    before += (before.empty() ? "# " : "; ") +
              conflist::told_to_name(named, conflist::list_names_of(list.file.name).front(), conf_dir);
  if (before.empty()) return behind_what_comes_first(conf_dir, lists, list, std::move(command));
  return before + "; then at once, since no pod starts in between: " + command;
}

std::string install_where_it_is_known(const Facts& facts, const fs::path& conf_dir, const Lists& lists,
                                      const conflist::Network& list) {
  auto command = install_command(conf_dir, lists, list);
  if (facts.node.is_search_known) return into_search(command, facts.node, list);
  const auto folders = folders_with_all(facts.node.bin_folders, others_of(list));
  if (folders.size() == 1) return with_folder(command, *folders.front());
  if (command.starts_with('#')) return command;
  return "# " + command +
         " --bin-dir DIR: DIR is where the runtime looks for plugins, which is not known here";
}

}  // namespace

std::string mend_and_try(const Facts& facts) {
  const bool is_the_nodes = facts.node.conf_dir_said_by != SaidBy::one_runtime;
  return "# mend the file where it says so; ip-masq install --dry-run" +
         (is_the_nodes ? "" : " --conf-dir " + nat::shell_word(facts.node.conf_dir.string())) +
         " tells whether a pod could start then";
}

std::string install_into(const Facts& facts, const conflist::Network& list, const BinFolder& folder) {
  const auto& conf_dir = facts.node.conf_dir;
  const auto& lists = facts.node.lists;
  return behind_multus(conf_dir, lists, list, with_folder(install_command(conf_dir, lists, list), folder));
}

std::string install_fix_in(const Facts& facts, const fs::path& conf_dir, const Lists& lists,
                           const conflist::Network& list) {
  return behind_multus(conf_dir, lists, list, install_where_it_is_known(facts, conf_dir, lists, list));
}

std::string install_fix(const Facts& facts, const conflist::Network& list) {
  return install_fix_in(facts, facts.node.conf_dir, facts.node.lists, list);
}

}  // namespace ipmasq::doctor
