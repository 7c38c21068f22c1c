#include "doctor/masquerade_findings.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "conflist/typed_keys.hpp"

namespace ipmasq::doctor {

namespace {

using nat::ForeignRule;
using Rules = std::deque<ForeignRule>;

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

// By number the last one goes first, and all of them before those that are named otherwise: no rule that is
// deleted is before one whose number is still to come.
void append_deletes(const Rules& rules, std::vector<std::string>& fix) {
  const auto numbered = select(rules, nat::is_deleted_by_number);
  if (!numbered.empty())
    fix.emplace_back(
        "# some are named by their numbers: paste all of it at once, and ask doctor again before another "
        "fix");
  std::for_each(numbered.rbegin(), numbered.rend(),
                [&](const ForeignRule& rule) { fix.push_back(nat::delete_command(rule)); });
  for (const auto& rule : rules) {
    if (!nat::is_deleted_by_number(rule)) fix.push_back(nat::delete_command(rule));
  }
}

// Takes away the chain of the rule.
std::string chain_removal(const ForeignRule& rule) {
  const auto name = nat::shell_word(rule.chain);
  if (rule.program == "nft") {
    const auto place = rule.family + " " + nat::shell_word(rule.table) + " " + name;
    return nat::can_be_named_to_nft(rule.table, rule.chain)
               ? "nft flush chain " + place + " && nft delete chain " + place
               : nat::by_its_owner("nft chain " + place);
  }
  const auto tool = rule.program + " -t nat ";
  // iptables would take it for an option, and flush all chains.
  const bool is_like_an_option = rule.chain.starts_with('-') || rule.chain.starts_with('!');
  return is_like_an_option || nat::printable(rule.chain) != rule.chain
             ? nat::by_its_owner(tool + "chain " + name)
             : tool + "-F " + name + " && " + tool + "-X " + name;
}

// The commands that take away a chain to which nothing leads any more.
void append_chain_delete(const std::string& chain, const Rules& rules, std::vector<std::string>& fix) {
  std::vector<std::string> removals;
  for (const auto& rule : rules) {
    if (rule.chain != chain || !can_translate(rule)) continue;
    const auto removal = chain_removal(rule);
    if (std::ranges::find(removals, removal) == removals.end()) removals.push_back(removal);
  }
  fix.insert(fix.end(), removals.begin(), removals.end());
}

// The commands that take away a chain, with all that leads there.
void append_chain_removal(const std::string& chain, const Rules& rules, std::vector<std::string>& fix) {
  append_deletes(select(rules, [&](const auto& rule) { return rule.target == chain; }), fix);
  append_chain_delete(chain, rules, fix);
}

// `text` after `start` up to `end`; empty where there is no such part.
std::string part_of(const std::string& text, const std::string& start, char end) {
  const auto found = text.find(start);
  if (found == std::string::npos) return "";
  const auto rest = text.substr(found + start.size());
  return rest.substr(0, rest.find(end));
}

// Of a network that docker gave its name.
bool has_name_of_docker(const std::string& interface) {
  constexpr std::string_view of_network = "br-";
  constexpr std::size_t id_length = 12;
  if (interface == "docker0" || interface == "docker_gwbridge") return true;
  return interface.starts_with(of_network) && interface.size() == of_network.size() + id_length &&
         interface.find_first_not_of("0123456789abcdef", of_network.size()) == std::string::npos;
}

// Interfaces that docker's own chains ask for, or that lead to these: its bridges, whatever users named them
// (com.docker.network.bridge.name). DOCKER-USER is others'.
std::set<std::string> bridges_of_docker(const Rules& rules) {
  std::set<std::string> bridges;
  for (const auto& rule : rules) {
    const bool is_in_its_chain = rule.chain.starts_with("DOCKER") && rule.chain != "DOCKER-USER";
    if (rule.out_interface && (is_in_its_chain || rule.target == "DOCKER"))
      bridges.insert(rule.out_interface->value);
    if (rule.in_interface && is_in_its_chain) bridges.insert(rule.in_interface->value);
  }
  return bridges;
}

bool is_there(const std::string& interface, const Surroundings& node) {
  return std::ranges::any_of(node.networks, [&](const auto& each) { return each.first == interface; });
}

// Of docker 29's own tables, where it has a chain for what each bridge sends.
bool is_of_dockers_table(const ForeignRule& rule) {
  return rule.table == "docker-bridges" && rule.chain.starts_with("nat-postrouting-out__") &&
         rule.translates() && rule.out_interface;
}

// As dockerd writes it, of a network of that bridge; whoever asks for more, or for another, is somebody else.
bool is_of_docker(const ForeignRule& rule, const std::set<std::string>& bridges, const Surroundings& node) {
  if (is_of_dockers_table(rule)) return true;
  if (rule.table != "nat" || rule.chain != "POSTROUTING" || !rule.source || !rule.out_interface) return false;
  const auto& bridge = rule.out_interface->value;
  const auto& network = rule.source->value;
  const bool is_its_network = !is_there(bridge, node) || node.networks.contains({bridge, network});
  const auto address = rule.translates_to ? " --to-source " + net::to_text(*rule.translates_to) : "";
  return (has_name_of_docker(bridge) || bridges.contains(bridge)) && is_its_network && rule.translates() &&
         nat::specification(rule) == " -s " + net::to_text(network) + " ! -o " + nat::shell_word(bridge) +
                                         " -j " + rule.target + address;
}

// The one that daemon.json decides for.
std::string default_bridge(const Surroundings& node) {
  const auto named = node.docker_config ? node.docker_config->value("bridge", cni::Json()) : cni::Json();
  return named.is_string() && !named.get<std::string>().empty() ? named.get<std::string>() : "docker0";
}

// What docker network inspect takes.
std::string inspected_by(const std::string& bridge) {
  if (bridge == "docker_gwbridge") return bridge + " shows";
  if (has_name_of_docker(bridge)) return bridge.substr(std::string_view("br-").size()) + " shows";
  return "shows of the network that has com.docker.network.bridge.name " + bridge;
}

void find_docker(const Facts& facts, Findings& findings) {
  const auto& node = facts.node;
  const auto bridges = bridges_of_docker(node.foreign.rules);
  const auto rules =
      select(node.foreign.rules, [&](const auto& rule) { return is_of_docker(rule, bridges, node); });
  if (rules.empty()) return;
  Finding finding{"docker-masquerade",
                  texts_of(rules),
                  "hides what runs on docker's networks behind the node's address",
                  {}};
  const auto is_of_default = [bridge = default_bridge(node)](const ForeignRule& rule) {
    return rule.out_interface->value == bridge;
  };
  // Networks that users made decide for themselves, as long as they are there.
  const auto is_of_user = [&](const ForeignRule& rule) {
    return !is_of_default(rule) && is_there(rule.out_interface->value, node);
  };
  const auto others = select(rules, [&](const auto& rule) { return !is_of_user(rule); });
  const auto& config = node.docker_config;
  const bool is_off = config && config->value("ip-masq", cni::Json()) == false;
  if (is_off && !others.empty()) {
    finding.where.emplace_back("/etc/docker/daemon.json has \"ip-masq\": false: the rules were left behind");
  } else if (std::ranges::any_of(others, is_of_default)) {
    finding.fix.emplace_back(
        "# scripts/snat-off docker (or \"ip-masq\": false in /etc/docker/daemon.json), then restart docker");
  }
  append_deletes(others, finding.fix);
  for (const auto& rule : select(rules, is_of_user)) {
    const auto& bridge = rule.out_interface->value;
    auto line = "# daemon.json does not decide for the network of " + bridge +
                ": make it anew with what docker network inspect " + inspected_by(bridge) +
                ", and -o com.docker.network.bridge.enable_ip_masquerade=false";
    if (std::ranges::find(finding.fix, line) == finding.fix.end()) finding.fix.push_back(std::move(line));
  }
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
    const bool is_in_k3s = std::ranges::any_of(
        node.processes, [](const std::string& name) { return name == "k3s" || name.starts_with("k3s-"); });
    if (says_so && is_in_k3s) {
      finding.fix = {
          "# k3s has flannel in it, and always lets it masquerade: ip-masq's rules hold against that"};
    } else if (!says_so && !node.processes.contains("flanneld")) {
      append_chain_removal("FLANNEL-POSTRTG", node.foreign.rules, finding.fix);
      append_chain_delete("postrtg", select(node.foreign.rules, is_flannels), finding.fix);
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
      if (conflist::type_of(plugin) != conflist::flannel_type) continue;
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
  // A cache that tells of nobody is none, and no proof of anybody's end.
  const auto is_alive = [&facts](const std::string& container) {
    const auto part = "-" + container + "-";
    return facts.node.cached_results.empty() || facts.ours.containers.contains(container) ||
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
  Rules left;
  for (const auto& rule : facts.node.foreign.rules) {
    const auto container = can_translate(rule) ? container_of(rule) : "";
    if (container.empty()) continue;
    auto& finding = is_alive(container) ? alive : gone;
    finding.where.push_back(nat::to_text(rule));
    if (&finding == &gone) {
      left.push_back(rule);
      continue;
    }
    const auto off = "# set \"ipMasq\": false in the conflist of network " + network_of(rule) +
                     "; rules of running pods go with them";
    if (std::ranges::find(alive.fix, off) == alive.fix.end()) alive.fix.push_back(off);
  }
  append_deletes(left, gone.fix);
  for (const auto& rule : left) {
    if (!rule.target.starts_with("CNI-")) continue;
    append_chain_delete(rule.target,
                        select(facts.node.foreign.rules,
                               [&rule](const ForeignRule& each) {
                                 return each.program == rule.program && each.family == rule.family &&
                                        each.chain == rule.target;
                               }),
                        gone.fix);
  }
  for (const auto* const finding : {&alive, &gone}) {
    if (!finding->where.empty()) findings.push_back(*finding);
  }
}

void find_agent(const Facts& facts, Findings& findings) {
  const auto leads_to_its_chain = [](const ForeignRule& rule) {
    return rule.target == "IP-MASQ-AGENT" || rule.target == "IP-MASQ" ||
           (rule.is_jump && rule.comment.starts_with("ip-masq-agent: ensure"));
  };
  const auto jumps = select(facts.node.foreign.rules, leads_to_its_chain);
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
  append_deletes(
      select(facts.node.foreign.rules, [&](const auto& rule) { return chains.contains(rule.target); }),
      finding.fix);
  for (const auto& chain : chains) append_chain_delete(chain, facts.node.foreign.rules, finding.fix);
  findings.push_back(finding);
}

// What iptables-save printed of legacy tables, and somebody restored to nftables' ones.
void find_copies_of_ours(const Facts& facts, Findings& findings) {
  const auto jumps =
      select(facts.node.foreign.rules, [](const ForeignRule& rule) { return rule.target == "IP-MASQ-PODS"; });
  if (jumps.empty()) return;
  Finding finding{"rules-of-ours-copied",
                  texts_of(jumps),
                  "somebody saved our rules and restored them where others' rules are: nothing keeps them up "
                  "to date, and nobody takes them away with the last pod",
                  {}};
  std::set<std::string> chains;
  for (const auto& rule : facts.node.foreign.rules) {
    if (rule.chain == "IP-MASQ-PODS" && rule.target.starts_with("IP-MASQ-")) chains.insert(rule.target);
  }
  append_chain_removal("IP-MASQ-PODS", facts.node.foreign.rules, finding.fix);
  for (const auto& chain : chains) append_chain_delete(chain, facts.node.foreign.rules, finding.fix);
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

void find_flannel_beside_ospf(const Facts& facts, Findings& findings) {
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

void find_masquerades(const Facts& facts, Findings& findings) {
  for (const auto find : {find_docker, find_flannel, find_bridge, find_agent, find_copies_of_ours,
                          find_kube_proxy, find_flannel_beside_ospf})
    find(facts, findings);
}

}  // namespace ipmasq::doctor
