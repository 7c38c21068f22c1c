#include "doctor/own_findings.hpp"

#include <algorithm>
#include <iterator>
#include <string>

#include "nat/iptables_rules.hpp"

namespace ipmasq::doctor {

namespace {

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

void find_unusable_state(const Ours& ours, Findings& findings) {
  append(
      {"state-dir-unusable",
       ours.unusable_state,
       "nothing can be recorded: an ADD fails, and no pod starts",
       {"# let the folder be root's own, on a file system that can be written to, with room; nothing of it "
        "need be removed"}},
      findings);
}

void find_leftovers(const Ours& ours, Findings& findings) {
  append({"rules-left-behind",
          ours.left_behind,
          "rules of ip-masq stand on a node where it has no pods: they do nothing",
          {"ip-masq sync"},
          Weight::note},
         findings);
}

void find_wrong_files(const Ours& ours, Findings& findings) {
  append({"config-wrong",
          ours.wrong_files,
          "what was good last stays in force, for running and for new pods, until the file is mended",
          {"# mend the file, or take it away; then:", "ip-masq sync"}},
         findings);
  append({"config-wrong",
          ours.wrong_from_the_start,
          "nothing good is known of it: an ADD fails, and no pod of these networks starts",
          {"# mend the file, or take it away"}},
         findings);
  append(
      {"key-misspelt",
       ours.misspelt,
       "the key is left alone, as if it were not there",
       {"# write it as it is named in that network's conflist: it is in force from the next pod's ADD on"}},
      findings);
}

void find_lost_records(const Ours& ours, Findings& findings) {
  append({"record-of-later-version",
          ours.written_later,
          "an ADD of these networks fails, and the DEL of a pod subnet's last pod: a later ip-masq recorded "
          "them; the rules of pods that run stay",
          {"# put that version, or a later one, back: its ip-masq install does so"}},
         findings);
  append({"record-damaged",
          ours.damaged_records,
          "the rules of these networks stay as they are; what was recorded in the file is lost",
          {"# let the runtime's GC, or the next ADD or DEL of that pod, put it right"},
          Weight::held},
         findings);
  append(
      {"rules-without-record",
       ours.unrecorded,
       "rules stand for pods that are not recorded here: none has started since the install, the record was "
       "lost, "
       "or another stateDir has it",
       {"# where these pods live, this records those that the runtime knows; so does their next ADD:",
        "ip-masq adopt",
        "# where none of this node's pods lives, ip-masq uninstall --rules takes away all rules and records"},
       Weight::held},
      findings);
  append({"rules-without-record",
          ours.unrecorded_deciding,
          "the lists of a network that is not recorded here decide over what these pods send",
          {"# an ADD takes the address over: start the pods anew that are named; where the runtime knows the "
           "others' pods:",
           "ip-masq adopt"}},
         findings);
}

bool is_hook_out_of_place(const std::string& difference) {
  static const auto hook = "out of place: " + nat::iptables::to_text(std::string(nat::iptables::hook_chain),
                                                                     nat::iptables::hook_rule());
  return difference.ends_with(hook);
}

void find_wrong_rules(const Ours& ours, Findings& findings) {
  append({"rules-on-their-way",
          ours.on_their_way,
          "rules of these networks stand in two places: where the lists changed since, the older ones may "
          "decide",
          {"ip-masq sync"}},
         findings);
  Finding finding{
      "rules-not-right", {}, "pods may be hidden, or not masqueraded where they should be", {"ip-masq sync"}};
  std::ranges::remove_copy_if(ours.differences, std::back_inserter(finding.where), is_hook_out_of_place);
  append(std::move(finding), findings);
}

void find_invalid_packets(const Ours& ours, Findings& findings) {
  append(
      {"invalid-not-dropped",
       ours.not_dropped,
       "dropInvalid cannot be in force: packets that connection tracking calls invalid leave with the pod's "
       "address, also where it is to be hidden",
       {"modprobe -a nf_tables nft_ct nft_counter", "ip-masq sync",
        "# where the kernel has no such modules: \"dropInvalid\": false says that this is known"},
       Weight::note},
      findings);
}

// Who put the jump there again and again cannot be told: what stands above it can.
void find_jump_out_of_place(const Facts& facts, Findings& findings) {
  const auto& differences = facts.ours.differences;
  const auto hook = std::ranges::find_if(differences, is_hook_out_of_place);
  if (hook == differences.end()) return;
  Finding finding{
      "jump-not-first",
      {*hook},
      "a rule that stands before it in POSTROUTING decides first, and can masquerade what is exempt",
      {"ip-masq sync",
       "# where somebody moves theirs above it again: \"backend\": \"nftables\" in ip-masq's entry of "
       "the conflist, then ip-masq sync; no rule of iptables comes before that"}};
  constexpr std::size_t most_told = 5;
  for (const auto& rule : facts.node.foreign.rules) {
    if (finding.where.size() > most_told) break;
    if (rule.is_above_ours) finding.where.push_back("above it: " + nat::to_text(rule));
  }
  findings.push_back(std::move(finding));
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
          {"# mend what is named; a pod that is started anew is recorded as well; then:", "ip-masq adopt"},
          Weight::note},
         findings);
}

const Network* network_named(const Ours& ours, const std::string& name) {
  const auto found = std::ranges::find(ours.networks, name, &Network::name);
  return found == ours.networks.end() ? nullptr : &*found;
}

// nftables is asked before iptables, about every address that a pod subnet holds there; a pod's own address
// is nobody else's.
bool is_decided_by(const net::Prefix& in_nftables, const net::Prefix& in_iptables) {
  const bool is_single = in_nftables.is_host();
  return in_nftables.contains(in_iptables) || (!is_single && in_iptables.contains(in_nftables));
}

void find_subnets_of_two(const Ours& ours, Findings& findings) {
  Finding finding{
      "pod-subnet-of-two-networks",
      {},
      "pods of both have addresses in it, and the lists of the one in nftables decide for all",
      {"# the same \"backend\" for both, or neither: \"auto\" keeps all networks of a node together; then "
       "ip-masq sync"}};
  for (const auto& first : ours.wanted.sources) {
    const auto* const decides = network_named(ours, first.network);
    if (decides == nullptr || decides->backend != "nftables") continue;
    for (const auto& source : ours.wanted.sources) {
      const auto* const other = network_named(ours, source.network);
      if (other != nullptr && other->backend == "iptables" && is_decided_by(first.prefix, source.prefix))
        finding.where.push_back(net::to_text(source.prefix) + " of network " + other->name +
                                ", in iptables, and " + net::to_text(first.prefix) + " of " + decides->name +
                                ", in nftables");
    }
  }
  append(std::move(finding), findings);
}

void find_addresses_of_two(const Ours& ours, Findings& findings) {
  append({"pod-address-of-two-networks",
          ours.of_two_networks,
          "the rules of one of the two networks decide over the address: of the pod that came last",
          {"# where one of them has ended, its DEL, or a GC of its network, forgets it; nothing is wrong "
           "where both live on LANs whose packets do not pass this node"},
          Weight::note},
         findings);
}

void find_refused_policies(const Ours& ours, Findings& findings) {
  append(
      {"policy-refused",
       ours.refused_policies,
       "the pod asks for a policy that it may not have, and has what it would have without asking",
       {"# list the pod's namespace in annotated of that policy, or take the pod's annotation ip-masq/policy "
        "away and start it anew; then:",
        "ip-masq sync"},
       Weight::note},
      findings);
}

void find_pods_elsewhere(const Ours& ours, Findings& findings) {
  append(
      {"pod-bypasses-node",
       ours.bypassing,
       "the pod is on the LAN of one of this node's uplinks: its packets do not pass this node, and no "
       "rule here is "
       "asked about them",
       {"# nothing is wrong where that is meant; what that LAN sees is the pod's own address, whatever the "
        "lists say"},
       Weight::note},
      findings);
}

}  // namespace

void find_own_findings(const Facts& facts, Findings& findings) {
  const auto& ours = facts.ours;
  find_what_an_add_lacks(ours, findings);
  find_unusable_state(ours, findings);
  find_wrong_files(ours, findings);
  find_lost_records(ours, findings);
  find_unadopted_pods(ours, findings);
  find_leftovers(ours, findings);
  find_jump_out_of_place(facts, findings);
  find_wrong_rules(ours, findings);
  find_invalid_packets(ours, findings);
  find_subnets_of_two(ours, findings);
  find_addresses_of_two(ours, findings);
  find_refused_policies(ours, findings);
  find_pods_elsewhere(ours, findings);
}

void adopt_before_removing(const Ours& ours, Findings& findings) {
  if (ours.not_adopted.empty()) return;
  for (auto& finding : findings) {
    const bool is_of_others = finding.name.starts_with("ip-masq-agent-") ||
                              finding.name.starts_with("bridge-masquerade") ||
                              finding.name == "rules-of-ours-copied" ||
                              finding.name == "flannel-masquerade" || finding.name == "docker-masquerade";
    if (is_of_others)
      finding.fix = {
          "# this comes first, or pods lose what these rules do for them (pods-not-adopted); then ask doctor "
          "again:",
          "ip-masq adopt"};
  }
}

}  // namespace ipmasq::doctor
