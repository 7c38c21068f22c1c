#include "doctor/conflist_findings.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "conflist/multus.hpp"
#include "conflist/typed_keys.hpp"

namespace ipmasq::doctor {

namespace {

using Lists = std::vector<conflist::Network>;

std::string path_of(const Facts& facts, const conflist::Network& list) {
  return (facts.node.conf_dir / list.file.name).string();
}

// The first that the runtime of pods loads; podman takes each list by its name.
const conflist::Network* list_of_runtime(const Lists& lists) {
  const auto found =
      std::ranges::find_if(lists, [](const auto& each) { return each.is_loaded() && each.name != "podman"; });
  return found == lists.end() ? nullptr : &*found;
}

// What pods get.
struct ListOfPods {
  const conflist::Network* file = nullptr;  ///< that it stands in; nullptr where there is none
  conflist::Network network = {};           ///< the same, or a copy that multus keeps in it
  std::string told = {};  ///< "/etc/cni/net.d/10-flannel.conflist is what the runtime loads"
  bool is_copy = false;
  std::string elsewhere = {};
};

ListOfPods list_of_pods(const Facts& facts) {
  const auto* const loaded = list_of_runtime(facts.node.lists);
  if (loaded == nullptr) return {};
  const auto path = path_of(facts, *loaded);
  auto led = conflist::led_by_multus(*loaded, facts.node.lists, facts.node.conf_dir);
  if (!led) return {.file = loaded, .network = *loaded, .told = path + " is what the runtime loads"};
  if (led->list != nullptr) {
    return {.file = led->list,
            .network = *led->list,
            .told = path_of(facts, *led->list) + " is what multus takes for pods, as " + path + " says"};
  }
  if (!led->embedded) return {.file = loaded, .told = path, .elsewhere = led->elsewhere};
  auto told = "the list " + cni::excerpt(cni::Json(led->embedded->name)) + " that multus keeps in " + path +
              " is what pods get";
  return {.file = loaded, .network = std::move(*led->embedded), .told = std::move(told), .is_copy = true};
}

const Network* record_of(const Facts& facts, const conflist::Network& list) {
  const auto found = std::ranges::find(facts.ours.networks, list.name, &Network::name);
  return found == facts.ours.networks.end() ? nullptr : &*found;
}

std::string install_command(const Facts& facts, const conflist::Network& list) {
  auto type = conflist::type_of(list.plugins.front());
  if (list.holds(conflist::flannel_type)) type = conflist::flannel_type;
  return "ip-masq install --conf-dir " + nat::shell_word(facts.node.conf_dir.string()) +
         (type == conflist::flannel_type ? "" : " --after " + nat::shell_word(type));
}

// Of the folders that the runtime searches: the one that has the program, or else, since its owner puts
// plugins there, the first that has any.
const BinFolder& folder_of_program(const std::vector<BinFolder>& searched) {
  auto found = std::ranges::find_if(
      searched, [](const auto& each) { return each.programs.contains(std::string(conflist::our_type)); });
  if (found == searched.end())
    found = std::ranges::find_if(searched, [](const auto& each) { return !each.programs.empty(); });
  return found == searched.end() ? searched.front() : *found;
}

std::string install_into(const Facts& facts, const conflist::Network& list, const BinFolder& folder) {
  return install_command(facts, list) + " --bin-dir " + nat::shell_word(folder.path.string());
}

bool has_all_others(const BinFolder& folder, const conflist::Network& list) {
  return std::ranges::all_of(list.plugins, [&](const cni::Json& plugin) {
    const auto type = conflist::type_of(plugin);
    return type == conflist::our_type || folder.programs.contains(type);
  });
}

// With the folder where the runtime's own files say which it is, or where one alone has the list's other
// plugins: the program in another one would keep pods from starting.
std::string install_fix(const Facts& facts, const conflist::Network& list) {
  const auto& folders = facts.node.bin_folders;
  if (facts.node.is_search_known) return install_into(facts, list, folder_of_program(folders));
  const auto has_all = [&list](const BinFolder& folder) { return has_all_others(folder, list); };
  if (std::ranges::count_if(folders, has_all) == 1)
    return install_into(facts, list, *std::ranges::find_if(folders, has_all));
  return "# " + install_command(facts, list) +
         " --bin-dir DIR: DIR is where the runtime looks for plugins, which is not known here";
}

bool has_ended(const Facts& facts, const Attachment& attachment) {
  return std::ranges::find(facts.node.cached_results, attachment.cache_name) ==
         facts.node.cached_results.end();
}

// Whether no pod that is recorded of the network lives, as far as the runtime's cache knows.
bool have_all_ended(const Facts& facts, const Network& network) {
  return facts.node.has_cache && !network.attachments.empty() &&
         std::ranges::all_of(network.attachments,
                             [&facts](const auto& attachment) { return has_ended(facts, attachment); });
}

// Whether it is known that no list has our entry.
bool is_without_entry(const Facts& facts, const ListOfPods& of_pods) {
  const auto& lists = facts.node.lists;
  return !lists.empty() && !of_pods.network.our_place() && of_pods.elsewhere.empty() &&
         std::ranges::none_of(
             lists, [](const auto& list) { return list.file.is_unread || list.our_place().has_value(); });
}

// Their runtime tells of no pod's end then.
void find_records_of_ended_pods(const Facts& facts, Findings& findings) {
  const auto of_pods = list_of_pods(facts);
  if (!is_without_entry(facts, of_pods)) return;
  Finding finding{
      "records-of-ended-pods",
      {},
      "no list has an entry of ip-masq, so nobody tells of the end of these pods, which the runtime's cache "
      "does not know any more: their rules stay, and new pods in their pod subnets get them",
      {"# where none of this node's pods needs them, this takes all rules and records away:",
       "ip-masq uninstall --rules"}};
  for (const auto& network : facts.ours.networks) {
    if (!have_all_ended(facts, network)) continue;
    for (const auto& attachment : network.attachments)
      finding.where.push_back("network " + network.name + ": " + attachment.text);
  }
  if (finding.where.empty()) return;
  if (of_pods.file != nullptr && record_of(facts, of_pods.network) != nullptr) {
    finding.fix.emplace_back("# where ip-masq is to stay:");
    finding.fix.push_back(install_fix(facts, of_pods.network));
  }
  findings.push_back(std::move(finding));
}

// A list that has our entry and is not what pods get.
struct ListsOfOurs {
  const conflist::Network* loaded = nullptr;
  const conflist::Network* unloaded = nullptr;
};

ListsOfOurs lists_of_ours(const Lists& lists) {
  const auto unloaded = std::ranges::find_if(
      lists, [](const auto& each) { return !each.is_loaded() && each.our_place().has_value(); });
  return {.loaded = conflist::first_with(lists, conflist::our_type),
          .unloaded = unloaded == lists.end() ? nullptr : &*unloaded};
}

void append_fix(const Facts& facts, const ListOfPods& of_pods, bool is_elsewhere, Finding& finding) {
  if (!of_pods.is_copy) {
    if (is_elsewhere) {
      finding.fix.emplace_back(
          "# of the two files, let the one that pods are to use come first by its name; or:");
    }
    return finding.fix.push_back(install_fix(facts, of_pods.network));
  }
  if (!is_elsewhere) finding.fix.push_back(install_fix(facts, of_pods.network));
  finding.fix.emplace_back(
      "# restart multus' pod of this node: where it makes that file itself (--multus-conf-file=auto) it "
      "reads the list "
      "again when it starts; where you have written it, put the entry behind the other plugins there");
}

void append_led_elsewhere(const ListOfPods& of_pods, Findings& findings) {
  findings.push_back(
      {"pods-led-elsewhere",
       {of_pods.told + " is what the runtime loads: multus hands pods on to " + of_pods.elsewhere},
       "whether that list has an entry of ip-masq was not looked at",
       {"# see that the entry stands there, behind the other plugins"},
       Weight::note});
}

// Nothing where no list is ours, nor was, nor is flannel's: nobody asks for us there.
void find_missing_entry(const Facts& facts, Findings& findings) {
  const auto of_pods = list_of_pods(facts);
  if (of_pods.file == nullptr || of_pods.network.our_place()) return;
  const auto ours = lists_of_ours(facts.node.lists);
  if (!of_pods.elsewhere.empty()) {
    if (ours.loaded != nullptr || !facts.ours.networks.empty()) append_led_elsewhere(of_pods, findings);
    return;
  }
  const auto* const recorded = record_of(facts, of_pods.network);
  const bool is_nowhere = ours.loaded == nullptr && ours.unloaded == nullptr;
  if (is_nowhere && recorded == nullptr && !of_pods.network.holds(conflist::flannel_type)) return;
  if (recorded != nullptr && is_without_entry(facts, of_pods) && have_all_ended(facts, *recorded)) return;
  Finding finding{
      "entry-missing",
      {of_pods.told + ", and has no entry of ip-masq"},
      recorded == nullptr
          ? "new pods of this node have no rules of ours: others' decide"
          : "new pods of this node are not recorded: they have rules of ours for as long as pods that are "
            "recorded have them, then others' decide",
      {}};
  if (ours.loaded != nullptr) {
    finding.where.push_back(path_of(facts, *ours.loaded) + " has one" +
                            (of_pods.is_copy ? "" : ", and comes later"));
  } else if (ours.unloaded != nullptr) {
    finding.where.push_back(path_of(facts, *ours.unloaded) +
                            " has one, and is not loaded: " + ours.unloaded->reason);
  }
  append_fix(facts, of_pods, ours.loaded != nullptr, finding);
  if (is_nowhere && facts.ours.networks.empty())
    finding.weight = Weight::note;  // nobody said yet that it is to be there
  findings.push_back(std::move(finding));
}

void find_refused_entries(const Facts& facts, Findings& findings) {
  Finding finding{"entry-refused", {}, "an ADD fails there: no pod starts", {}};
  for (const auto& list : facts.node.lists) {
    if (!list.is_loaded() || !list.our_place()) continue;
    for (const auto& reason : conflist::why_add_would_fail(list))
      finding.where.push_back(path_of(facts, list) + ": " + reason);
  }
  finding.fix = {
      "# mend the file where it says so; ip-masq install --dry-run tells whether a pod could start then"};
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

void find_files_in_the_way(const Facts& facts, Findings& findings) {
  const auto* const ours = conflist::first_with(facts.node.lists, conflist::our_type);
  if (ours == nullptr) return;
  Finding finding{
      "file-in-the-way",
      {},
      "containerd loads no network at all where a file before ours is none; CRI-O and podman step "
      "over it",
      {"# mend the file, or have its owner take it away"},
      facts.node.processes.contains("containerd") ? Weight::hurts : Weight::note};
  for (const auto* const each : conflist::in_the_way(facts.node.lists, *ours))
    finding.where.push_back(path_of(facts, *each) + ": " + each->reason);
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

std::string lacks(const Facts& facts, const conflist::Network& list, const BinFolder& folder) {
  return "no program " + (folder.path / conflist::our_type).string() + ", which " + path_of(facts, list) +
         " asks for";
}

void find_missing_in_search(const Facts& facts, const conflist::Network& ours, Finding finding,
                            Findings& findings) {
  const std::string program(conflist::our_type);
  const auto& searched = facts.node.bin_folders;
  if (std::ranges::any_of(searched, [&](const auto& each) { return each.programs.contains(program); }))
    return;
  for (const auto& folder : searched) finding.where.push_back(lacks(facts, ours, folder));
  finding.fix.push_back(install_into(facts, ours, folder_of_program(searched)));
  findings.push_back(std::move(finding));
}

// Where it is not known where the runtime searches: its folder is one of those that have the list's other
// plugins; which of them, it alone knows.
void find_missing_program(const Facts& facts, Findings& findings) {
  const auto* const ours = conflist::first_with(facts.node.lists, conflist::our_type);
  if (ours == nullptr) return;
  const std::string program(conflist::our_type);
  Finding finding{"program-missing", {}, "an ADD fails: no pod starts, and none can be ended", {}};
  if (facts.node.is_search_known) return find_missing_in_search(facts, *ours, std::move(finding), findings);
  bool may_be_there = false;
  for (const auto& folder : facts.node.bin_folders) {
    if (!has_all_others(folder, *ours)) continue;
    if (folder.programs.contains(program)) {
      may_be_there = true;
      continue;
    }
    finding.where.push_back(lacks(facts, *ours, folder));
    finding.fix.push_back(install_into(facts, *ours, folder));
  }
  if (finding.where.empty()) return;
  if (may_be_there) {
    finding.does = "an ADD fails where this is the folder that the runtime looks for plugins in";
    finding.weight = Weight::note;
  }
  findings.push_back(std::move(finding));
}

void find_other_folders(const Facts& facts, Findings& findings) {
  if (facts.node.elsewhere.empty()) return;
  findings.push_back(
      {"other-folders",
       facts.node.elsewhere,
       "what doctor says of conflists and of the program is of folders that the runtime does not use",
       {"ip-masq doctor --flavour auto"},
       Weight::note});
}

}  // namespace

void find_conflist_findings(const Facts& facts, Findings& findings) {
  find_other_folders(facts, findings);
  find_missing_program(facts, findings);
  find_refused_entries(facts, findings);
  find_files_in_the_way(facts, findings);
  find_missing_entry(facts, findings);
  find_records_of_ended_pods(facts, findings);
}

}  // namespace ipmasq::doctor
