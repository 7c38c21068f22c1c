#include "nat/explain.hpp"

#include <algorithm>
#include <ostream>

#include "cni/json.hpp"
#include "error/error.hpp"
#include "netfilter/foreign_rules.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/commands/node_addresses.hpp"
#include "plugin/commands/operands.hpp"
#include "plugin/verbs/node_rules.hpp"

namespace ipmasq::plugin {

namespace {

// What an explanation says of the node it was made for.
struct Place {
  std::string backend;  // that carries the rules of the network; empty where it is none
  bool is_undone_by_nftables = false;
};

Place place_of(const nat::Explanation& explanation, const Recorded& recorded) {
  if (!explanation.pod_subnet) return {};
  const auto& record = recorded.at(explanation.pod_subnet->network).record;
  Place place{record ? record->backend : ""};
  if (place.backend == netfilter::to_text(netfilter::Backend::iptables) &&
      explanation.fate == nat::Fate::kept) {
    place.is_undone_by_nftables = !netfilter::foreign_nat_chains(1).empty();
  }
  return place;
}

nat::Explanation explain_on_this_node(const nat::Ruleset& ruleset, const net::Address& source,
                                      const net::Address& destination) {
  const auto here = node_addresses();
  if (std::ranges::find(here, destination) != here.end()) {
    return {nat::Fate::left_alone, net::to_text(destination) + " is an address of this node", {}, {}};
  }
  return nat::explain(ruleset, source, destination);
}

std::string fate_text(nat::Fate fate) {
  switch (fate) {
    case nat::Fate::kept:
      return "kept";
    case nat::Fate::masqueraded:
      return "masqueraded";
    case nat::Fate::left_alone:
      return "left alone";
  }
  return "";
}

cni::Json to_json(const std::string& source, const std::string& destination,
                  const nat::Explanation& explanation, const Place& place) {
  cni::Json json{{"source", source},
                 {"destination", destination},
                 {"fate", fate_text(explanation.fate)},
                 {"why", explanation.why}};
  if (explanation.destination) json["prefix"] = net::to_text(*explanation.destination);
  if (explanation.pod_subnet) {
    json["network"] = explanation.pod_subnet->network;
    json["podSubnet"] = net::to_text(explanation.pod_subnet->prefix);
    json["backend"] = place.backend;
    if (place.is_undone_by_nftables) json["warning"] = undone_by_nftables;
  }
  return json;
}

void print(const std::string& source, const std::string& destination, const nat::Explanation& explanation,
           const Place& place, std::ostream& output) {
  output << source << " -> " << destination << ": " << fate_text(explanation.fate) << '\n';
  output << "  " << explanation.why;
  if (explanation.destination) output << ": " << net::to_text(*explanation.destination);
  output << '\n';
  if (!explanation.pod_subnet) return;
  const auto& subnet = *explanation.pod_subnet;
  output << "  network " << subnet.network << " (" << place.backend << "), pod subnet "
         << net::to_text(subnet.prefix) << '\n';
  if (place.is_undone_by_nftables) output << "  " << undone_by_nftables << '\n';
  if (explanation.fate == nat::Fate::kept && subnet.exemption == config::Exemption::yield) {
    output << "  exemption is \"return\": other rules of this node may still masquerade it\n";
  }
}

}  // namespace

void explain(const std::filesystem::path& state_dir, const std::string& source,
             const std::string& destination, OutputFormat format, std::ostream& output) {
  const auto from = parse_operand("SRC", source);
  const auto towards = parse_operand("DST", destination);
  if (from.family != towards.family) {
    throw Error(Kind::wrong_config, "SRC and DST are of different families: " + source + ", " + destination);
  }
  const auto recorded = state::Store(state_dir).load();
  const auto explanation = explain_on_this_node(wanted_of(recorded).all(), from, towards);
  const auto place = place_of(explanation, recorded);
  if (format == OutputFormat::json) {
    output << to_json(source, destination, explanation, place).dump(2) << '\n';
  } else {
    print(source, destination, explanation, place, output);
  }
}

}  // namespace ipmasq::plugin
