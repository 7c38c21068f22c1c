#include "doctor/findings.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <iterator>
#include <set>
#include <string_view>
#include <utility>

#include "doctor/conflist_findings.hpp"
#include "doctor/flows.hpp"
#include "doctor/kernel_findings.hpp"
#include "doctor/own_findings.hpp"
#include "doctor/weights.hpp"
#include "nat/contradictions.hpp"
#include "nat/explain.hpp"
#include "nat/nftables_rules.hpp"

namespace ipmasq::doctor {

namespace {

using nat::ForeignRule;
using Rules = std::deque<ForeignRule>;

// ---- rules of others

bool can_translate(const ForeignRule& rule) {
  return rule.program == "nft" || rule.table == "nat";
}

Rules select(const Rules& rules, const std::function<bool(const ForeignRule&)>& is_wanted) {
  Rules selected;
  std::ranges::copy_if(rules, std::back_inserter(selected),
                       [&](const ForeignRule& rule) { return can_translate(rule) && is_wanted(rule); });
  return selected;
}

std::vector<std::string> texts_of(const Rules& rules) {
  std::vector<std::string> texts;
  for (const auto& rule : rules) texts.push_back(nat::to_text(rule));
  return texts;
}

void append_deletes(const Rules& rules, std::vector<std::string>& fix) {
  for (const auto& rule : rules) fix.push_back(nat::delete_command(rule));
}

// The commands that take away a chain, with all that leads there.
void append_chain_removal(const std::string& chain, const Rules& rules, std::vector<std::string>& fix) {
  append_deletes(select(rules, [&](const auto& rule) { return rule.target == chain; }), fix);
  std::vector<std::string> removals;
  for (const auto& rule : rules) {
    if (rule.chain != chain || !can_translate(rule)) continue;
    const auto name = nat::shell_word(chain);
    const auto tool = rule.program == "nft" ? "" : rule.program + " -t nat ";
    const auto place = rule.family + " " + nat::shell_word(rule.table) + " " + name;
    const auto removal = rule.program == "nft" ? "nft flush chain " + place + " && nft delete chain " + place
                                               : tool + "-F " + name + " && " + tool + "-X " + name;
    if (std::ranges::find(removals, removal) == removals.end()) removals.push_back(removal);
  }
  fix.insert(fix.end(), removals.begin(), removals.end());
}

// `text` after `start` up to `end`; empty where there is no such part.
std::string part_of(const std::string& text, const std::string& start, char end) {
  const auto found = text.find(start);
  if (found == std::string::npos) return "";
  const auto rest = text.substr(found + start.size());
  return rest.substr(0, rest.find(end));
}

// ---- findings; each appends itself where it holds

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
  const auto legacy = select(facts.node.foreign.rules, [](const ForeignRule& rule) {
    return rule.program != "nft" && (rule.translates() || rule.chain == "POSTROUTING");
  });
  if (!legacy.empty() && !chains.empty()) {
    auto where = names(chains);
    where.push_back(nat::to_text(legacy.front()));
    findings.push_back(
        {"both-iptables-in-use",
         where,
         "legacy iptables and nftables both translate: an exemption in one does not bind the other",
         {"# let all programs use one, and reboot at a time when the node has no pods:",
          "update-alternatives --set iptables /usr/sbin/iptables-nft",
          "update-alternatives --set ip6tables /usr/sbin/ip6tables-nft"}});
  }
}

void find_docker(const Facts& facts, Findings& findings) {
  const auto rules = select(facts.node.foreign.rules, [](const ForeignRule& rule) {
    const bool is_dockers =
        rule.out_interface && rule.out_interface->inverted &&
        (rule.out_interface->value.starts_with("docker") || rule.out_interface->value.starts_with("br-"));
    return rule.translates() && is_dockers && rule.source && !rule.source->inverted;
  });
  if (rules.empty()) return;
  Finding finding{"docker-masquerade",
                  texts_of(rules),
                  "hides what runs on docker's networks behind the node's address",
                  {}};
  const auto& config = facts.node.docker_config;
  if (config && config->value("ip-masq", cni::Json()) == false) {
    finding.where.emplace_back("/etc/docker/daemon.json has \"ip-masq\": false: the rules were left behind");
  } else {
    finding.fix.emplace_back(
        "# scripts/snat-off docker (or \"ip-masq\": false in /etc/docker/daemon.json), then restart docker");
  }
  append_deletes(rules, finding.fix);
  findings.push_back(finding);
}

bool is_flannels(const ForeignRule& rule) {
  return rule.chain == "FLANNEL-POSTRTG" || rule.table == "flannel-ipv4" || rule.table == "flannel-ipv6";
}

void find_flannel(const Facts& facts, Findings& findings) {
  const auto& node = facts.node;
  auto rules = select(node.foreign.rules,
                      [](const ForeignRule& rule) { return is_flannels(rule) && rule.translates(); });
  const bool says_so = node.flannel_masquerades == true;
  if (!rules.empty() || says_so) {
    Finding finding{
        "flannel-masquerade",
        texts_of(rules),
        "flanneld masquerades what pods send out of the cluster network, exempt networks included",
        {}};
    if (says_so) finding.where.push_back("FLANNEL_IPMASQ=true in " + node.subnet_file.string());
    if (!says_so && !node.processes.contains("flanneld")) {
      append_chain_removal("FLANNEL-POSTRTG", node.foreign.rules, finding.fix);
    }
    if (finding.fix.empty()) {
      finding.fix = {
          "# scripts/snat-off flannel (or \"ipMasq\": false in the delegate of flannel's conflist, then "
          "--ip-masq out of "
          "flanneld's arguments)"};
    }
    findings.push_back(finding);
  }
  if (node.flannel_masquerades != false) return;
  for (const auto& list : node.lists) {
    if (!list.is_loaded()) continue;
    const auto path = (node.conf_dir / list.file.name).string();
    for (const auto& plugin : list.plugins) {
      if (plugin.value("type", cni::Json()) != "flannel") continue;
      const auto delegate = plugin.value("delegate", cni::Json::object());
      if (delegate.is_object() && delegate.contains("ipMasq")) continue;
      findings.push_back(
          {"flannel-turns-bridge-masquerade-on",
           {path + ": the flannel plugin's delegate does not say ipMasq",
            "FLANNEL_IPMASQ=false in " + node.subnet_file.string()},
           "flannel's plugin gives the bridge plugin ipMasq: true, which hides each new pod, "
           "even from pods on other nodes",
           {"# scripts/snat-off flannel (or \"ipMasq\": false in its \"delegate\" in " + path + ")"},
           list.our_place() ? Weight::held : Weight::hurts});
    }
  }
}

// The container that a rule of the bridge or ptp plugin is for; empty where it is none of theirs.
std::string container_of(const ForeignRule& rule) {
  if (rule.table == "cni_plugins_masquerade" && rule.translates())
    return part_of(rule.comment, ", id: ", '\n');
  const bool is_theirs = rule.target.starts_with("CNI-") && !rule.target.starts_with("CNI-HOSTPORT") &&
                         !rule.target.starts_with("CNI-DN") && rule.source && !rule.source->inverted;
  return is_theirs ? part_of(rule.comment, "id: \"", '"') : "";
}

std::string network_of(const ForeignRule& rule) {
  return rule.table == "cni_plugins_masquerade" ? part_of(rule.comment, ", net: ", ',')
                                                : part_of(rule.comment, "name: \"", '"');
}

void find_bridge(const Facts& facts, Findings& findings) {
  const auto is_alive = [&facts](const std::string& container) {
    const auto part = "-" + container + "-";
    return facts.ours.containers.contains(container) ||
           std::ranges::any_of(facts.node.cached_results, [&part](const std::string& name) {
             return name.find(part) != std::string::npos;
           });
  };
  Finding alive{
      "bridge-masquerade", {}, "the bridge or ptp plugin hides these pods, each by a rule of its own", {}};
  Finding gone{"bridge-masquerade-leftover",
               {},
               "left behind by pods that are gone: hides the next pod that gets such an address",
               {}};
  for (const auto& rule : facts.node.foreign.rules) {
    const auto container = can_translate(rule) ? container_of(rule) : "";
    if (container.empty()) continue;
    auto& finding = is_alive(container) ? alive : gone;
    finding.where.push_back(nat::to_text(rule));
    if (&finding == &gone) {
      finding.fix.push_back(nat::delete_command(rule));
      if (rule.target.starts_with("CNI-")) {
        auto others = select(facts.node.foreign.rules, [&rule](const ForeignRule& each) {
          return each.program == rule.program && each.family == rule.family && each.chain == rule.target;
        });
        append_chain_removal(rule.target, others, finding.fix);
      }
      continue;
    }
    const auto off = "# set \"ipMasq\": false in the conflist of network " + network_of(rule) +
                     "; rules of running pods go with them";
    if (std::ranges::find(alive.fix, off) == alive.fix.end()) alive.fix.push_back(off);
  }
  for (const auto* const finding : {&alive, &gone}) {
    if (!finding->where.empty()) findings.push_back(*finding);
  }
}

void find_agent(const Facts& facts, Findings& findings) {
  const auto jumps = select(facts.node.foreign.rules, [](const ForeignRule& rule) {
    return rule.target == "IP-MASQ-AGENT" || rule.target == "IP-MASQ" ||
           rule.comment.starts_with("ip-masq-agent: ensure");
  });
  const bool runs = facts.node.processes.contains("ip-masq-agent");
  if (jumps.empty() && !runs) return;
  Finding finding{runs ? "ip-masq-agent-running" : "ip-masq-agent-leftover",
                  texts_of(jumps),
                  "masquerades what its own list does not exempt, whatever pod it is of",
                  {}};
  if (runs) {
    finding.where.emplace_back("a process ip-masq-agent runs");
    finding.fix.emplace_back(
        "kubectl -n kube-system delete daemonset ip-masq-agent  # its ConfigMap can stay");
  }
  std::set<std::string> chains;
  for (const auto& rule : jumps) chains.insert(rule.target);
  for (const auto& chain : chains) append_chain_removal(chain, facts.node.foreign.rules, finding.fix);
  findings.push_back(finding);
}

void find_kube_proxy(const Facts& facts, Findings& findings) {
  const auto rules = select(facts.node.foreign.rules, [](const ForeignRule& rule) {
    const bool in_iptables = rule.chain.starts_with("KUBE-SVC-") && rule.target == "KUBE-MARK-MASQ";
    const bool in_nftables = rule.table == "kube-proxy" && rule.chain.starts_with("service-") &&
                             rule.target == "mark-for-masquerade";
    return (in_iptables || in_nftables) && !rule.source;
  });
  if (rules.empty()) return;
  findings.push_back(
      {"kube-proxy-masquerade-all",
       {nat::to_text(rules.front()), std::to_string(rules.size()) + " such rules in all"},
       "kube-proxy masquerades every connection to a service address: the pod behind it sees the node",
       {"# masqueradeAll: false in kube-proxy's configuration (or no --masquerade-all), then restart "
        "kube-proxy"}});
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
      "what these rules do to pods' packets is not known here, and may be other than what explain says",
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
      if (each.kind != telling.kind || !told.insert(each.rule).second) continue;
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
      not_exempt.where.push_back(net::to_text(network) + ", from pods of network " + chain.network);
    }
  }
  if (!not_exempt.where.empty()) findings.push_back(not_exempt);

  if (!facts.node.processes.contains("ospfd")) return;
  const auto rules = select(facts.node.foreign.rules, [](const ForeignRule& rule) {
    return is_flannels(rule) && rule.translates() && rule.source && rule.source->inverted;
  });
  if (rules.empty()) return;
  findings.push_back(
      {"flannel-hides-outside-hosts",
       texts_of(rules),
       "what comes from outside for a pod of another node, when a router sends it by this one, is "
       "masqueraded: that pod sees this node",
       {"# scripts/snat-off flannel"}});
}

}  // namespace

Findings examine(const Facts& facts) {
  Findings findings;
  for (const auto find :
       {find_own_findings, find_conflist_findings, find_wrong_backend, find_contradictions, find_docker,
        find_flannel, find_bridge, find_agent, find_kube_proxy, find_ospf, find_kernel_findings}) {
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
