#include "doctor/conflist_findings.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace ipmasq::doctor {

namespace {

using Lists = std::vector<conflist::Network>;

std::string path_of(const Facts& facts, const conflist::Network& list) {
  return (facts.node.conf_dir / list.file.name).string();
}

// multus hands pods on to the lists that it names; podman takes each list by its name.
bool leads_to_others(const conflist::Network& list) {
  return list.holds("multus") || list.holds("multus-shim") || list.name == "podman";
}

const conflist::Network* list_of_pods(const Lists& lists) {
  const auto found = std::ranges::find_if(
      lists, [](const auto& each) { return each.is_loaded() && !leads_to_others(each); });
  return found == lists.end() ? nullptr : &*found;
}

bool is_recorded(const Facts& facts, const conflist::Network& list) {
  return std::ranges::find(facts.ours.networks, list.name, &Network::name) != facts.ours.networks.end();
}

std::string install_command(const Facts& facts, const conflist::Network& list) {
  std::string type = list.plugins.front().value("type", std::string());
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

// Nothing where no list is ours, nor was, nor is flannel's: nobody asks for us there.
void find_missing_entry(const Facts& facts, Findings& findings) {
  const auto& lists = facts.node.lists;
  const auto* const of_pods = list_of_pods(lists);
  if (of_pods == nullptr || of_pods->our_place()) return;
  const auto* const ours = conflist::first_with(lists, conflist::our_type);
  const auto unloaded = std::ranges::find_if(
      lists, [](const auto& each) { return !each.is_loaded() && each.our_place().has_value(); });
  if (ours == nullptr && unloaded == lists.end() && !is_recorded(facts, *of_pods) &&
      !of_pods->holds(conflist::flannel_type))
    return;
  Finding finding{"entry-missing",
                  {path_of(facts, *of_pods) + " is what the runtime loads, and has no entry of ip-masq"},
                  "new pods of this node have no rules of ours: others' decide",
                  {}};
  if (ours != nullptr) {
    finding.where.push_back(path_of(facts, *ours) + " has one, and comes later");
    finding.fix.emplace_back(
        "# of the two files, let the one that pods are to use come first by its name; or:");
  } else if (unloaded != lists.end()) {
    finding.where.push_back(path_of(facts, *unloaded) + " has one, and is not loaded: " + unloaded->reason);
  }
  finding.fix.push_back(facts.node.is_search_known
                            ? install_into(facts, *of_pods, folder_of_program(facts.node.bin_folders))
                            : install_command(facts, *of_pods));
  const bool is_new = ours == nullptr && unloaded == lists.end() && facts.ours.networks.empty();
  if (is_new) finding.weight = Weight::note;  // nobody said yet that it is to be there
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

bool has_all_others(const BinFolder& folder, const conflist::Network& list) {
  return std::ranges::all_of(list.plugins, [&](const cni::Json& plugin) {
    const auto type = plugin.value("type", std::string());
    return type == conflist::our_type || folder.programs.contains(type);
  });
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
}

}  // namespace ipmasq::doctor
