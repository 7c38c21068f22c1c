#include "nat/explain.hpp"

#include <algorithm>
#include <iterator>
#include <ostream>

#include "cni/json.hpp"
#include "doctor/flows.hpp"
#include "doctor/forwarding.hpp"
#include "error/error.hpp"
#include "nat/contradictions.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/commands/json_output.hpp"
#include "plugin/commands/named_pod.hpp"
#include "plugin/commands/operands.hpp"
#include "plugin/commands/standing.hpp"
#include "plugin/verbs/met_first.hpp"
#include "plugin/verbs/policies.hpp"
#include "plugin/verbs/recorded.hpp"
#include "plugin/ways/connection_ways.hpp"
#include "plugin/ways/cut_off_pods.hpp"
#include "plugin/ways/foreign_of_node.hpp"
#include "plugin/ways/ipsec_ways.hpp"
#include "plugin/ways/pod_ways.hpp"
#include "routing/masquerade_source.hpp"
#include "routing/node_addresses.hpp"

namespace ipmasq::plugin {

namespace {

// What is told of a connection: what packets meet now, and what the lists say.
struct Answer {
  nat::Fate fate = nat::Fate::left_alone;
  nat::Explanation lists;
  std::string backend = {};
  std::optional<std::string> translated_to = {};    // by snatTo: an address, or a range of which it is one
  std::optional<net::Address> masqueraded_as = {};  // where the kernel's choice is known
  std::vector<std::string> warnings = {};
};

// Where no rule of any kind is asked.
std::optional<std::string> why_never_asked(const net::Address& destination) {
  const auto here = routing::node_addresses();
  if (std::ranges::find(here, destination) != here.end())
    return net::to_text(destination) + " is an address of this node";
  if (net::is_never_forwarded(destination)) return "no router forwards to " + net::to_text(destination);
  return std::nullopt;
}

// The lists decide alike where "return" leaves to others what is listed.
bool is_as_listed(const nat::Explanation& lists, nat::Fate standing) {
  const bool is_returned = lists.fate == nat::Fate::kept && lists.chain &&
                           lists.chain->exemption == config::Exemption::return_ &&
                           standing == nat::Fate::left_alone;
  return is_returned || lists.fate == standing;
}

// Of a pod whose record is damaged the rules that stand say which policy it has.
void take_standing_policies(const Node& node, nat::Ruleset& ruleset) {
  if (ruleset.of_unknown_policy.empty()) return;
  std::vector<nat::Source> standing;
  for (const auto backend : config::all_backends) {
    if (node.open(backend)->may_hold_rules())
      std::ranges::move(node.open(backend)->sources(), std::back_inserter(standing));
  }
  ruleset.sources = nat::wanted_sources(standing, ruleset);
}

// Also with the pods of networks of which no lists are known: nobody else's are theirs.
nat::Ruleset ruleset_with_all_pods(const Node& node, const Recorded& recorded) {
  auto ruleset = ruleset_of(recorded);
  take_standing_policies(node, ruleset);
  for (const auto& [name, network] : recorded) {
    if (network.configuration) continue;
    for (const auto& subnet : network.stored.wanted_subnets()) ruleset.sources.push_back({subnet, name});
  }
  std::ranges::sort(ruleset.sources,
                    [](const auto& left, const auto& right) { return nat::comes_first(left, right); });
  return ruleset;
}

void tell_what_stands(const nat::Fate standing, const std::optional<StandingRule>& rule,
                      const RecordedNetwork& network, Answer& answer) {
  answer.fate = standing;
  answer.lists.why = network.written_later
                         ? "unknown: a later ip-masq wrote the record of network " + network.stored.name
                         : "unknown: the record of network " + network.stored.name + " is damaged, or lost";
  answer.warnings.push_back(rule && !rule->standing.rule.empty()
                                ? "the rule that stands is " + rule->standing.rule
                                : "no rule of ours decides it");
  for (const auto& problem : network.problems) answer.warnings.push_back(problem);
  answer.warnings.push_back(network.written_later ? *network.written_later
                                                  : "an ADD of one of its pods records it anew");
}

// What brings the lists in force where `rule` decides instead.
std::string help_against(const StandingRule& rule, const Node& node, const nat::Ruleset& ruleset,
                         const Recorded& recorded, const net::Address& source, const std::string& network) {
  const auto backend = config::to_text(rule.backend);
  const bool is_elsewhere = recorded.at(network).backend() != backend;
  const auto decides = [&](const nat::Source& each) {
    return each.network != network && each.prefix.contains(source);
  };
  const auto unrecorded = unrecorded_sources(node, recorded);
  const bool is_of_another = std::ranges::any_of(unrecorded, decides) ||
                             std::ranges::any_of(ruleset.sources, [&](const nat::Source& each) {
                               return decides(each) && recorded.at(each.network).backend() == backend;
                             });
  if (is_of_another && is_elsewhere)
    return "of another network, which is in " + backend + ": " + same_backend;
  const bool is_unrecorded = std::ranges::any_of(unrecorded, [&](const nat::Source& each) {
    return decides(each) && each.prefix == net::host_prefix(source);
  });
  return is_unrecorded ? "no record needs it: an ADD of the pod that lives takes the address over"
                       : "ip-masq sync brings it in force";
}

void compare_with_kernel(const std::optional<StandingRule>& rule, const Node& node,
                         const nat::Ruleset& ruleset, const Recorded& recorded, const net::Address& source,
                         Answer& answer) {
  if (rule && !rule->standing.is_certain) {
    answer.fate = answer.lists.fate;
    answer.warnings.push_back("it may be that packets meet another fate: somebody changed rules of ours, " +
                              nat::printable(rule->standing.rule) + ": ip-masq sync puts them right");
    return;
  }
  const auto standing = rule ? rule->standing.fate : nat::Fate::left_alone;
  if (answer.lists.source && !recorded.at(answer.lists.source->network).configuration) {
    tell_what_stands(standing, rule, recorded.at(answer.lists.source->network), answer);
    return;
  }
  if (is_as_listed(answer.lists, standing)) {
    answer.fate = answer.lists.fate;
    return;
  }
  answer.fate = standing;
  if (!answer.lists.source) {
    answer.lists.why = "by rules that stand though no record needs them: " + rule->standing.rule;
    answer.warnings.emplace_back(
        "its record was lost, or another stateDir has it: an ADD, or GC, puts it right");
    return;
  }
  const auto help = rule ? help_against(*rule, node, ruleset, recorded, source, answer.lists.source->network)
                         : "ip-masq sync brings it in force";
  answer.warnings.push_back("not in force: the lists say " + nat::to_text(answer.lists.fate) + ", " +
                            (rule && !rule->standing.rule.empty()
                                 ? "the rule that stands is " + rule->standing.rule
                                 : "no rule of ours decides it") +
                            ": " + help);
}

const state::Attachment* attachment_with(const Recorded& recorded, const net::Address& address) {
  for (const auto& [name, network] : recorded) {
    for (const auto& attachment : network.stored.attachments) {
      if (attachment.has(address)) return &attachment;
    }
  }
  return nullptr;
}

void add_warnings(const Recorded& recorded, const net::Address& source, Answer& answer) {
  const auto* const pod = attachment_with(recorded, source);
  if (pod != nullptr && pod->bypasses_node) {
    answer.warnings.emplace_back(
        "its packets do not pass this node: the pod is on the LAN of one of its uplinks");
  }
  if (!answer.lists.source) return;
  const auto& network = recorded.at(answer.lists.source->network);
  answer.backend = network.backend();
  if (pod != nullptr && network.configuration) {
    const auto refused = policy_of(*pod, *config::netconf_of(network.configuration)).refused;
    if (!refused.empty())
      answer.warnings.push_back("it asks for policy " + nat::printable(pod->asks_for) +
                                " and does not have it: " + nat::printable(refused));
  }
  if (network.configuration) {
    for (const auto& problem : config::problems_of(*network.configuration))
      answer.warnings.push_back("what was good last is in force: " + problem);
  }
  const bool may_be_undone = answer.fate == nat::Fate::kept && answer.lists.chain &&
                             answer.lists.chain->exemption == config::Exemption::return_;
  if (may_be_undone) {
    answer.warnings.emplace_back("exemption is \"return\": other rules of this node may still masquerade it");
  }
}

// What packets meet where rules of somebody else have the last word for certain.
nat::Fate fate_under(const std::vector<nat::Contradiction>& contradictions, nat::Fate fate) {
  for (const auto& each : contradictions) {
    if (!each.is_certain) continue;
    switch (each.kind) {
      case nat::Contradiction::Kind::translated_by_others:
      case nat::Contradiction::Kind::source_rewritten:
        return nat::Fate::masqueraded;
      case nat::Contradiction::Kind::not_tracked:
        return nat::Fate::kept;
      case nat::Contradiction::Kind::yield_mark_set:
      case nat::Contradiction::Kind::passed_by:
        return nat::Fate::left_alone;
      case nat::Contradiction::Kind::redirected:
        fate = each.becomes.value_or(fate);  // on its way there, others may still be met
        break;
      case nat::Contradiction::Kind::handed_over:
      case nat::Contradiction::Kind::not_known:
        break;
    }
  }
  return fate;
}

nat::Flow flow_of(const nat::Ruleset& ruleset, const net::Address& source, const ConnectionWays& ways,
                  const Answer& answer) {
  auto flow = doctor::flow_on(ways.way, ways.node_addresses);
  flow.fate = answer.fate;
  if (answer.lists.chain) flow.snat_to = answer.lists.chain->translation.source_by(ways.way.uplink);
  flow.fate_towards = [&ruleset, source](const net::Address& other) {
    return nat::explain(ruleset, source, other).fate;
  };
  return flow;
}

// Another's rule may give it another source, or lead it another way.
void forget_source(const std::vector<nat::Contradiction>& contradictions, Answer& answer) {
  using Kind = nat::Contradiction::Kind;
  const auto is_of = [&contradictions](std::initializer_list<Kind> kinds) {
    return std::ranges::any_of(contradictions, [&kinds](const nat::Contradiction& each) {
      return std::ranges::find(kinds, each.kind) != kinds.end();
    });
  };
  if (is_of({Kind::translated_by_others, Kind::source_rewritten})) answer.translated_to.reset();
  if (!contradictions.empty()) answer.masqueraded_as.reset();
}

// What somebody else's rules do to it that ours do not say.
void look_at_others(const nat::Ruleset& ruleset, const net::Address& source, const ConnectionWays& ways,
                    const nat::Foreign& foreign, config::Backend backend, Answer& answer) {
  const bool is_returned = answer.lists.chain && answer.lists.chain->exemption == config::Exemption::return_;
  const bool is_nftables = backend == config::Backend::nftables;
  const auto& yields = is_nftables ? foreign.yield_marks.nftables : foreign.yield_marks.iptables;
  const nat::OurPlace place{is_nftables, yields, !is_returned};
  const auto ours = answer.fate;
  const auto found = nat::contradictions(foreign, place, flow_of(ruleset, source, ways, answer));
  for (const auto& each : found) {
    answer.warnings.push_back((each.is_certain ? "" : "it may be that a rule ") + each.does + ": " +
                              nat::printable(each.rule));
  }
  answer.fate = fate_under(found, ours);
  forget_source(found, answer);
  const bool may_be_undone =
      backend == config::Backend::iptables && ours == nat::Fate::kept &&
      std::ranges::any_of(foreign.chains, [](const nat::ForeignChain& each) {
        return each.program == "nft" && each.is_nat && each.hook == nat::Hook::postrouting;
      });
  if (may_be_undone) answer.warnings.emplace_back(undone_by_nftables);
}

// What drops it, or the answer to it; between neighbours on one bridge no rule of the node need be asked.
void look_for_drops(const doctor::PodWay& way, const nat::Foreign& foreign, Answer& answer) {
  constexpr std::size_t most_told = 8;
  doctor::Facts facts;
  if (answer.lists.chain) facts.ours.wanted.chains = {*answer.lists.chain};
  facts.node.foreign = foreign;
  for (const auto& [interface, address] : routing::addresses_by_interface()) {
    facts.node.addresses.insert(address);
    facts.node.interface_of.emplace(address, interface);
  }
  facts.node.ways = {way};
  const bool may_be_bridged = way.pod_interface && way.pod_interface == way.uplink;
  std::size_t told = 0;
  for (const auto& drop : doctor::forward_drops(facts, facts.not_looked)) {
    const bool is_certain = drop.is_certain && !may_be_bridged;
    if (!is_certain && ++told > most_told) continue;
    answer.warnings.push_back((is_certain
                                   ? "it, or the answer to it, is dropped on this node: "
                                   : "it may be that it, or the answer to it, is dropped on this node: ") +
                              nat::printable(drop.decides));
  }
}

// Where the way out is not known, only what holds for all.
void tell_source(const ConnectionWays& ways, const std::optional<StandingRule>& rule, Answer& answer) {
  const bool is_ours = answer.fate == nat::Fate::masqueraded && answer.lists.fate == answer.fate &&
                       answer.lists.chain && rule && rule->standing.is_certain;
  if (!is_ours) return;
  const auto& translation = answer.lists.chain->translation;
  const auto& uplink = ways.way.uplink;
  if (!uplink && !translation.snat_to_by_interface.empty()) return;
  const auto to = translation.source_by(uplink);
  if (!rule->standing.gives(to, uplink)) {
    answer.warnings.push_back("not in force: the lists say masqueraded as " +
                              (to ? net::ends_text(*to) : "the address of the way out") +
                              ", the rule that stands is " + rule->standing.rule +
                              ": ip-masq sync brings it in force");
  } else if (to) {
    answer.translated_to = net::ends_text(*to);
  } else if (uplink) {
    const auto& sent = ways.sent;
    answer.masqueraded_as = routing::masquerade_source(
        {sent.source, sent.destination, sent.in_interface, sent.marks.tcp.value}, *uplink);
  }
}

Answer answer_of(const Node& node, const Recorded& recorded, const net::Address& source,
                 const net::Address& destination) {
  if (const auto why = why_never_asked(destination)) return {.lists = {nat::Fate::left_alone, *why}};
  const auto ruleset = ruleset_with_all_pods(node, recorded);
  Answer answer{.lists = nat::explain(ruleset, source, destination)};
  const auto rule = standing_rule(node, source, destination);
  compare_with_kernel(rule, node, ruleset, recorded, source, answer);
  add_warnings(recorded, source, answer);
  const bool is_of_a_pod = rule || answer.lists.source;
  if (!is_of_a_pod) return answer;
  const auto foreign = foreign_of_node();
  const routing::PolicyRouting routing(source.family);
  const auto pods = pods_on_node(recorded);
  const auto own = own_interfaces(pods);
  auto ways = ways_of(source, destination, routing, foreign, own);
  tell_source(ways, rule, answer);
  if (rule) look_at_others(ruleset, source, ways, foreign, rule->backend, answer);
  const auto* const pod = attachment_with(recorded, source);
  if (pod != nullptr && pod->bypasses_node) return answer;
  for (const auto& each : cut_off_pods(pods)) {
    const bool is_its = std::ranges::find(each.pods, source) != each.pods.end();
    if (is_its) answer.warnings.push_back("the pod is cut off: " + each.why);
  }
  // Multicast has routes of its own, which the kernel is not asked for here.
  if (!destination.is_multicast()) {
    append_where_lost(ways, routing, pod_interfaces(recorded, own), is_in_pod_subnet(recorded, destination),
                      own, answer.warnings);
    append_ipsec(ruleset, ways.way, answer.fate, answer.warnings);
  }
  ways.way.fate = answer.fate == nat::Fate::left_alone ? std::nullopt : std::optional(answer.fate);
  look_for_drops(ways.way, foreign, answer);
  return answer;
}

cni::Json to_json(const std::string& source, const std::string& destination, const Answer& answer) {
  const auto& lists = answer.lists;
  cni::Json json{{"source", source},
                 {"destination", destination},
                 {"fate", nat::to_text(answer.fate)},
                 {"why", lists.why}};
  if (lists.source && answer.fate != lists.fate) json["listed"] = nat::to_text(lists.fate);
  if (lists.destination) json["prefix"] = net::to_text(*lists.destination);
  if (answer.translated_to) json["snatTo"] = *answer.translated_to;
  if (answer.masqueraded_as) json["as"] = net::to_text(*answer.masqueraded_as);
  if (lists.source) {
    json["network"] = lists.source->network;
    if (!lists.source->policy.empty()) json["policy"] = lists.source->policy;
    json["podSubnet"] = net::to_text(lists.source->prefix);
    if (!answer.backend.empty()) json["backend"] = answer.backend;
  }
  if (!answer.warnings.empty()) json["warnings"] = answer.warnings;
  return json;
}

void print(const std::string& source, const std::string& destination, const Answer& answer,
           std::ostream& output) {
  const auto& lists = answer.lists;
  output << source << " -> " << destination << ": " << nat::to_text(answer.fate) << '\n';
  output << "  " << lists.why;
  if (lists.destination) output << ": " << net::to_text(*lists.destination);
  output << '\n';
  if (answer.translated_to) output << "  as " << *answer.translated_to << " (snatTo)\n";
  if (answer.masqueraded_as) output << "  as " << net::to_text(*answer.masqueraded_as) << '\n';
  if (lists.source) {
    const auto backend = answer.backend.empty() ? "" : " (" + answer.backend + ")";
    const auto policy = lists.source->policy.empty() ? "" : ", policy " + lists.source->policy;
    output << "  network " << lists.source->network << policy << backend << ", pod subnet "
           << net::to_text(lists.source->prefix) << '\n';
  }
  for (const auto& warning : answer.warnings) output << "  " << warning << '\n';
}

}  // namespace

void explain(const std::filesystem::path& state_dir, const std::string& source,
             const std::string& destination, OutputFormat format, std::ostream& output) {
  if (!is_named_pod(source)) parse_operand("SRC", source);
  const auto towards = parse_operand("DST", destination);
  const state::Store store(state_dir);
  const auto recorded = read_recorded(store);
  const auto from = parse_pod_operand("SRC", source, recorded, towards.family);
  if (from.family != towards.family) {
    throw Error(Kind::wrong_config, "SRC and DST are of different families: " + source + ", " + destination);
  }
  netfilter::RealKernel kernel;
  const auto answer = answer_of({kernel, store, {}}, recorded, from, towards);
  const bool is_named = is_named_pod(source);
  if (format == OutputFormat::json) {
    auto json = to_json(net::to_text(from), destination, answer);
    if (is_named) json["pod"] = source;
    print_json(json, output);
  } else {
    print(is_named ? source + " (" + net::to_text(from) + ")" : source, destination, answer, output);
  }
}

}  // namespace ipmasq::plugin
