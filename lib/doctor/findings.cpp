#include "doctor/findings.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <set>
#include <string_view>
#include <utility>

#include "doctor/conflist_findings.hpp"
#include "doctor/flows.hpp"
#include "doctor/kernel_findings.hpp"
#include "doctor/masquerade_findings.hpp"
#include "doctor/own_findings.hpp"
#include "doctor/weights.hpp"
#include "nat/contradictions.hpp"
#include "nat/explain.hpp"
#include "nat/nftables_rules.hpp"

namespace ipmasq::doctor {

namespace {

// Each appends itself where it holds.

void find_wrong_backend(const Facts& facts, Findings& findings) {
  std::vector<nat::ForeignChain> chains;
  std::ranges::copy_if(facts.node.foreign.chains, std::back_inserter(chains), [](const auto& each) {
    return each.program == "nft" && each.is_nat && each.hook == nat::Hook::postrouting;
  });
  const auto names = [](const std::vector<nat::ForeignChain>& list) {
    std::vector<std::string> texts;
    texts.reserve(list.size());
    for (const auto& each : list) {
      texts.push_back("nft chain " + each.family + " " + each.table + " " + each.chain + ", priority " +
                      std::to_string(each.priority));
    }
    return texts;
  };
  const auto uses = [&facts](const char* backend) {
    return std::ranges::any_of(facts.ours.networks,
                               [backend](const Network& each) { return each.backend == backend; });
  };
  if (uses("iptables") && !chains.empty()) {
    findings.push_back(
        {"undone-by-nftables",
         names(chains),
         "our rules stand in legacy iptables: a masquerade rule in such a chain undoes their exemptions",
         {"# set \"backend\": \"auto\" in ip-masq's entry of the conflist, then:", "ip-masq sync"}});
  }
  std::vector<nat::ForeignChain> before;
  std::ranges::copy_if(chains, std::back_inserter(before),
                       [](const auto& each) { return each.priority <= nat::nftables::base_priority; });
  if (uses("nftables") && !before.empty()) {
    Finding finding{"nat-chain-before-ours",
                    names(before),
                    "its NAT rules are asked before ours, and what they translate we are not asked about",
                    {"# have its owner use a priority above srcnat - 5 (" +
                     std::to_string(nat::nftables::base_priority) + ")"}};
    findings.push_back(finding);
  }
  const auto& rules = facts.node.foreign.rules;
  const auto legacy = std::ranges::find_if(rules, [](const nat::ForeignRule& rule) {
    return rule.program != "nft" && rule.table == "nat" && (rule.translates() || rule.chain == "POSTROUTING");
  });
  if (legacy != rules.end() && !chains.empty()) {
    auto where = names(chains);
    where.push_back(nat::to_text(*legacy));
    findings.push_back(
        {"both-iptables-in-use",
         where,
         "legacy iptables and nftables both translate: an exemption in one does not bind the other",
         {"# let all programs use one, and reboot at a time when the node has no pods:",
          "update-alternatives --set iptables /usr/sbin/iptables-nft",
          "update-alternatives --set ip6tables /usr/sbin/ip6tables-nft"}});
  }
}

// What is not told of a contradiction by another finding, by the finding that tells it.
struct Telling {
  nat::Contradiction::Kind kind;
  const char* name;
  const char* does;
  Weight weight = Weight::hurts;
};

constexpr std::array<Telling, 5> tellings{
    {{nat::Contradiction::Kind::not_tracked, "pods-not-tracked",
      "pods' packets are not tracked: nothing translates them, and the pods' own addresses go out"},
     {nat::Contradiction::Kind::yield_mark_set, "yield-mark-set",
      "pods' packets get a mark for which our rules leave them to others (yieldMarks)"},
     {nat::Contradiction::Kind::redirected, "destination-redirected",
      "pods' connections go elsewhere than they were meant to, or end on this node"},
     {nat::Contradiction::Kind::source_rewritten, "source-rewritten",
      "pods' packets get another source outside NAT, where our rules have no say"},
     {nat::Contradiction::Kind::not_known, "rules-not-understood",
      "what these rules, or programs that they hand packets to, do to pods' packets is not known here, and "
      "may be other than what explain says",
      Weight::note}}};

// After this a contradiction's fix has the command.
constexpr std::string_view removal = "take it away: ";

void find_contradictions(const Facts& facts, Findings& findings) {
  const auto found = contradictions_for_all_pods(facts);
  for (const auto& telling : tellings) {
    Finding finding{telling.name, {}, telling.does, {}, telling.weight};
    std::set<std::string> told;
    std::string advice;
    for (const auto& each : found) {
      const bool is_program = each.kind == nat::Contradiction::Kind::handed_over;
      const auto kind = is_program ? nat::Contradiction::Kind::not_known : each.kind;
      if (kind != telling.kind || !told.insert(each.rule).second) continue;
      finding.where.push_back(each.rule);
      const auto command = each.fix.rfind(removal);
      finding.fix.push_back(each.fix.substr(command + removal.size()));
      advice = "# " + each.fix.substr(0, command + removal.size() - 1);
    }
    finding.fix.push_back(advice);
    std::ranges::reverse(finding.fix);  // rules can be named by their number: the last one goes first
    if (!finding.where.empty()) findings.push_back(finding);
  }
}

void find_ospf(const Facts& facts, Findings& findings) {
  Finding not_exempt{
      "ospf-network-not-exempt",
      {},
      "routers tell the way to these networks, which yet see this node instead of the pod",
      {"# add them to nonMasqueradeCIDRs, in ip-masq's entry of the conflist or in its configFile"}};
  for (const auto& chain : facts.ours.wanted.chains) {
    for (const auto& network : facts.node.ospf_routes) {
      const bool is_rest_of_the_world = network.length == 0;
      if (network.family() != chain.family || is_rest_of_the_world || nat::keeps_all(chain, network))
        continue;
      not_exempt.where.push_back(net::to_text(network) + ", from pods of " + nat::told(chain.owner()));
    }
  }
  if (!not_exempt.where.empty()) findings.push_back(not_exempt);
}

}  // namespace

Findings examine(const Facts& facts) {
  Findings findings;
  for (const auto find : {find_own_findings, find_conflist_findings, find_wrong_backend, find_contradictions,
                          find_masquerades, find_ospf, find_kernel_findings}) {
    find(facts, findings);
  }
  weigh(facts, findings);
  adopt_before_removing(facts.ours, findings);
  // Others' rules, files and names can hold anything.
  for (auto& finding : findings) {
    for (auto* const lines : {&finding.where, &finding.fix}) {
      for (auto& line : *lines) line = nat::printable(line);
    }
  }
  std::ranges::stable_sort(findings, {}, &Finding::weight);
  return findings;
}

Health health_of(const Findings& findings, const std::vector<std::string>& not_looked) {
  const bool is_hurt =
      std::ranges::any_of(findings, [](const Finding& each) { return each.weight == Weight::hurts; });
  if (is_hurt) return Health::hurt;
  return not_looked.empty() ? Health::well : Health::not_known;
}

std::string summary(const Findings& findings, const std::vector<std::string>& not_looked) {
  const auto count = [&findings](Weight weight) {
    return std::to_string(std::ranges::count(findings, weight, &Finding::weight));
  };
  std::string text = "nothing found that hides pods or could undo an exemption";
  if (!findings.empty()) {
    text = health_of(findings, {}) == Health::hurt ? "pods are hurt: " : "no pod is hurt: ";
    text += count(Weight::hurts) + " found that hurt, " + count(Weight::held) + " held by our rules, " +
            count(Weight::note) + " to note";
  }
  if (!not_looked.empty())
    text += "; could not look at " + std::to_string(not_looked.size()) + ", so nobody can say more";
  return text;
}

std::string to_text(Weight weight) {
  return weight == Weight::hurts ? "hurts" : weight == Weight::held ? "held" : "note";
}

}  // namespace ipmasq::doctor
