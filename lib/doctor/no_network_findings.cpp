#include "doctor/no_network_findings.hpp"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "conflist/folder.hpp"
#include "doctor/install_fix.hpp"
#include "doctor/list_of_pods.hpp"

namespace ipmasq::doctor {

namespace {

bool may_any_load(const Facts& facts) {
  return std::ranges::any_of(facts.node.lists, [](const auto& list) {
    return list.is_loaded() || list.loading == conflist::Loading::unknown;
  });
}

bool is_any_refused(const Facts& facts) {
  return std::ranges::any_of(facts.node.lists,
                             [](const auto& list) { return list.loading == conflist::Loading::refused; });
}

Finding no_list_loads() {
  Finding finding{
      "no-list-loads", {}, "the runtime has no network: no pod starts, and none can be ended", {}};
  return finding;
}

std::string told_of_backup(const Facts& facts, const std::string& name) {
  return "# what it was before ip-masq install stands in " +
         (facts.node.conf_dir / conflist::backup_of(name)).string();
}

// libcni says no to what is there.
void find_refused_lists(const Facts& facts, Findings& findings) {
  if (may_any_load(facts) || !is_any_refused(facts)) return;
  auto finding = no_list_loads();
  finding.fix = {mend_and_try(facts)};
  for (const auto& list : facts.node.lists) {
    if (list.loading != conflist::Loading::refused) continue;
    finding.where.push_back(path_of(facts, list) + ": " + list.reason);
    if (facts.node.backups.contains(list.file.name))
      finding.fix.push_back(told_of_backup(facts, list.file.name));
  }
  findings.push_back(std::move(finding));
}

// By which it is known that there was a list with our entry: a backup in the folder itself; or, where the
// runtime reads this one for certain, what is elsewhere.
std::vector<std::string> signs_of_a_list(const Facts& facts) {
  std::vector<std::string> signs;
  for (const auto& name : facts.node.backups) {
    signs.push_back((facts.node.conf_dir / conflist::backup_of(name)).string() +
                    " is of ip-masq install: the list that it was made beside is gone");
  }
  if (facts.node.conf_dir_said_by != SaidBy::runtime) return signs;
  for (const auto& network : facts.ours.networks)
    signs.push_back("the network " + cni::excerpt(cni::Json(network.name)) + " is recorded");
  for (const auto& folder : facts.node.bin_folders) {
    if (folder.programs.contains(std::string(conflist::our_type)) && !folder.has_anothers)
      signs.push_back((folder.path / conflist::our_type).string() + " is there, and no list asks for it");
  }
  return signs;
}

void find_lists_gone(const Facts& facts, Findings& findings) {
  if (!has_no_list(facts) || !is_folder_of_pods(facts)) return;
  auto signs = signs_of_a_list(facts);
  if (signs.empty()) return;
  auto finding = no_list_loads();
  finding.where = {"no list is in " + facts.node.conf_dir.string()};
  std::ranges::move(signs, std::back_inserter(finding.where));
  finding.fix = {
      "# have its owner bring the list anew, as flannel's pod does when it starts; then see whether doctor "
      "misses the entry"};
  for (const auto& name : facts.node.backups) finding.fix.push_back(told_of_backup(facts, name));
  findings.push_back(std::move(finding));
}

// CRI-O waits for it, whatever else there is.
void find_no_list_of_name(const Facts& facts, Findings& findings) {
  const auto& lists = facts.node.lists;
  const auto& taking = facts.node.taking;
  if (taking.network.empty() || std::ranges::none_of(lists, &conflist::Network::is_loaded)) return;
  if (std::ranges::any_of(
          lists, [&taking](const auto& list) { return list.is_loaded() && list.name == taking.network; }))
    return;
  findings.push_back({"network-not-there",
                      {"no list in " + facts.node.conf_dir.string() + " has the name " +
                       cni::excerpt(cni::Json(taking.network)) + ", as " + taking.network_said_by + " says"},
                      "the runtime waits for that network: no pod starts",
                      {"# have its owner bring the list, or mend the name"}});
}

// Whether it is one that we are asked for, or would be.
bool concerns_us(const Facts& facts, const conflist::Network& list) {
  return list.our_place() || list.holds(conflist::flannel_type) || record_of(facts, list) != nullptr ||
         facts.node.backups.contains(list.file.name);
}

bool has_list_that_concerns_us(const Facts& facts) {
  return concerns_us(facts, list_of_pods(facts).network) ||
         std::ranges::any_of(facts.node.lists,
                             [&facts](const auto& list) { return concerns_us(facts, list); });
}

}  // namespace

bool has_no_list(const Facts& facts) {
  return facts.node.are_lists_read && !may_any_load(facts) && !is_any_refused(facts);
}

void find_no_network(const Facts& facts, Findings& findings) {
  find_refused_lists(facts, findings);
  find_lists_gone(facts, findings);
  find_no_list_of_name(facts, findings);
}

std::string why_lists_are_not_told(const Facts& facts) {
  const auto& node = facts.node;
  const auto folder = node.conf_dir.string();
  const std::string what = "for the list that pods get: ";
  if (node.conf_dir_said_by != SaidBy::nobody || !node.elsewhere.empty()) {
    const bool is_found = is_folder_of_pods(facts) && !signs_of_a_list(facts).empty();
    return !has_no_list(facts) || is_found ? "" : what + "there is none in " + folder;
  }
  const std::string nothing = what + "no runtime's configuration is found, and ";
  const std::string advice = "; --conf-dir DIR or --flavour say where it is";
  if (node.lists.empty() || has_no_list(facts)) return nothing + "there is none in " + folder + advice;
  const bool is_any_loaded = std::ranges::any_of(node.lists, &conflist::Network::is_loaded);
  if (!is_any_loaded || has_list_that_concerns_us(facts))
    return {};  // else what is refused, or not known, is told
  return nothing + "of those in " + folder + " none is flannel's, or of a network of ip-masq" + advice;
}

}  // namespace ipmasq::doctor
