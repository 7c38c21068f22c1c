#include "doctor/runtime_findings.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "doctor/install_fix.hpp"
#include "doctor/list_of_pods.hpp"
#include "doctor/no_network_findings.hpp"
#include "doctor/start_findings.hpp"

namespace ipmasq::doctor {

namespace {

// Its lists as if they were the node's: the programs and what runs are the same.
Facts as_of_node(const Facts& facts, const OwnLists& own) {
  Facts of_runtime;
  auto& node = of_runtime.node;
  node.conf_dir = own.conf_dir;
  node.conf_dir_said_by = SaidBy::one_runtime;
  node.are_lists_read = own.are_read;
  node.lists = own.lists;
  node.backups = own.backups;
  node.taking.lists = own.taken;
  node.bin_folders = facts.node.bin_folders;
  node.is_search_known = facts.node.is_search_known;
  node.may_search_more = facts.node.may_search_more;
  node.processes = facts.node.processes;
  return of_runtime;
}

std::string name_of(const OwnLists& own) {
  return "the runtime " + cni::excerpt(cni::Json(own.runtime));
}

// Nobody may use that runtime.
void append_nothing_there(const OwnLists& own, Findings& findings) {
  findings.push_back(
      {"no-list-loads",
       {"no list is in " + own.conf_dir.string()},
       "no pod starts",
       {"# nothing is to be done where nobody uses that runtime; else have the owner of a list "
        "bring it there"},
       Weight::note});
}

void find_what_keeps_from_starting(const Facts& facts, const OwnLists& own, Findings& findings) {
  const auto of_runtime = as_of_node(facts, own);
  Findings found;
  find_start_findings(of_runtime, found);
  if (found.empty() && has_no_list(of_runtime)) append_nothing_there(own, found);
  for (auto& finding : found) {
    finding.does = "of pods of " + name_of(own) + ": " + finding.does;
    finding.where.push_back(own.said_by + " says that pods of " + name_of(own) + " get the lists of " +
                            own.conf_dir.string());
  }
  std::ranges::move(found, std::back_inserter(findings));
}

// It may be meant otherwise where it is no list of flannel's, nor of a network of ours.
void find_missing_entry(const Facts& facts, const OwnLists& own, Findings& findings) {
  const bool is_in_use = list_of_ours(facts) != nullptr || !facts.ours.networks.empty();
  const auto* const loaded = conflist::first_loaded(own.lists);
  if (loaded == nullptr || loaded->our_place() || !is_in_use) return;
  const bool is_wanted = loaded->holds(conflist::flannel_type) || record_of(facts, *loaded) != nullptr;
  findings.push_back({"runtime-without-entry",
                      {(own.conf_dir / loaded->file.name).string() + " is what pods of " + name_of(own) +
                       " get, as " + own.said_by + " says, and has no entry of ip-masq"},
                      "new pods of that runtime are not recorded: others' rules decide, where no pod that "
                      "is recorded has its pod subnet",
                      {install_fix_in(facts, own.conf_dir, own.lists, *loaded)},
                      is_wanted ? Weight::hurts : Weight::note});
}

}  // namespace

void find_runtime_findings(const Facts& facts, Findings& findings) {
  for (const auto& own : facts.node.own_lists) {
    if (own.conf_dir == facts.node.conf_dir) continue;  // which is looked at as the node's
    find_what_keeps_from_starting(facts, own, findings);
    find_missing_entry(facts, own, findings);
  }
}

}  // namespace ipmasq::doctor
