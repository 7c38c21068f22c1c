#include "doctor/own_findings.hpp"

#include <algorithm>
#include <iterator>
#include <string>

#include "nat/iptables_rules.hpp"

namespace ipmasq::doctor {

namespace {

using Findings = std::vector<Finding>;

void append(Finding finding, Findings& findings) {
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

void find_what_an_add_lacks(const Ours& ours, Findings& findings) {
  append({"kernel-module-missing",
          ours.unavailable,
          "ip-masq cannot set any rule: an ADD fails",
          {"modprobe -a ip_tables iptable_nat ip6table_nat nf_tables nft_chain_nat nft_masq nft_fib_inet"}},
         findings);
}

void find_wrong_files(const Ours& ours, Findings& findings) {
  append({"config-wrong",
          ours.wrong_files,
          "what was good last stays in force, for running and for new pods, until the file is mended",
          {"mend the file, or take it away; then ip-masq sync"}},
         findings);
  append({"key-misspelt",
          ours.misspelt,
          "the key is left alone, as if it were not there",
          {"write it as it is named"}},
         findings);
}

void find_lost_records(const Ours& ours, Findings& findings) {
  append({"record-damaged",
          ours.damaged_records,
          "the rules of these networks stay as they are; what was recorded in the file is lost",
          {"let the runtime's GC, or the next ADD or DEL of that pod, put it right"}},
         findings);
  append(
      {"rules-without-record",
       ours.unrecorded,
       "rules stand for pods that are not recorded here: the record was lost, or another stateDir has it",
       {"where these pods live: ip-masq adopt records those that the runtime knows; so does their next ADD",
        "where they do not: ip-masq uninstall --rules takes away all rules and records, also those of "
        "pods that live"}},
      findings);
}

void find_wrong_rules(const Ours& ours, Findings& findings) {
  append({"rules-on-their-way",
          ours.on_their_way,
          "rules of these networks stand in two places: where the lists changed since, the older ones may "
          "decide",
          {"ip-masq sync"}},
         findings);
  const auto hook = "out of place: " + nat::iptables::to_text(std::string(nat::iptables::hook_chain),
                                                              nat::iptables::hook_rule());
  const auto is_hook = [&hook](const std::string& line) { return line.ends_with(hook); };
  if (std::ranges::any_of(ours.differences, is_hook)) {
    findings.push_back(
        {"jump-not-first",
         {hook},
         "a rule that stands before it in POSTROUTING decides first, and can masquerade what is exempt",
         {"ip-masq sync"}});
  }
  Finding finding{
      "rules-not-right", {}, "pods may be hidden, or not masqueraded where they should be", {"ip-masq sync"}};
  std::ranges::remove_copy_if(ours.differences, std::back_inserter(finding.where), is_hook);
  append(std::move(finding), findings);
}

void find_unadopted_pods(const Ours& ours, Findings& findings) {
  append({"pods-not-adopted",
          ours.not_adopted,
          "these pods were there before ip-masq, or their record was lost: no rule is kept for them, and "
          "others' "
          "decide",
          {"ip-masq adopt"}},
         findings);
  append({"pods-not-told",
          ours.not_told,
          "nobody can tell whether more pods live that are not recorded",
          {"mend what is named, then ip-masq adopt; a pod that is started anew is recorded as well"},
          Weight::note},
         findings);
}

void find_pods_elsewhere(const Ours& ours, Findings& findings) {
  append({"pod-bypasses-node",
          ours.bypassing,
          "the pod is on the LAN of one of this node's uplinks: its packets do not pass this node, and no "
          "rule here is "
          "asked about them",
          {"nothing is wrong where that is meant; what that LAN sees is the pod's own address, whatever the "
           "lists say"},
          Weight::note},
         findings);
}

}  // namespace

void find_own_findings(const Facts& facts, Findings& findings) {
  for (const auto find : {find_what_an_add_lacks, find_wrong_files, find_lost_records, find_unadopted_pods,
                          find_wrong_rules, find_pods_elsewhere}) {
    find(facts.ours, findings);
  }
}

void adopt_before_removing(const Ours& ours, Findings& findings) {
  if (ours.not_adopted.empty()) return;
  for (auto& finding : findings) {
    const bool is_of_others = finding.name.starts_with("ip-masq-agent-") ||
                              finding.name.starts_with("bridge-masquerade") ||
                              finding.name == "flannel-masquerade" || finding.name == "docker-masquerade";
    if (is_of_others)
      finding.fix = {
          "ip-masq adopt comes first, or pods lose what these rules do for them (pods-not-adopted); then "
          "ask doctor again"};
  }
}

}  // namespace ipmasq::doctor
