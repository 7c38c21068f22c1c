#include <linux/rtnetlink.h>

#include <algorithm>
#include <functional>
#include <ostream>
#include <utility>

#include "config/in_force.hpp"
#include "config/netconf.hpp"
#include "doctor/findings.hpp"
#include "doctor/forwarding.hpp"
#include "doctor/multus_findings.hpp"
#include "doctor/no_network_findings.hpp"
#include "doctor/program_findings.hpp"
#include "doctor/read_surroundings.hpp"
#include "error/error.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/commands/json_output.hpp"
#include "plugin/commands/others_program.hpp"
#include "plugin/commands/our_side.hpp"
#include "plugin/commands/scarce_ports.hpp"
#include "plugin/verbs/caches.hpp"
#include "plugin/verbs/recorded.hpp"
#include "plugin/ways/cut_off_pods.hpp"
#include "plugin/ways/foreign_of_node.hpp"
#include "plugin/ways/ipsec_ways.hpp"
#include "plugin/ways/no_ways.hpp"
#include "plugin/ways/pod_ways.hpp"
#include "routing/learned_routes.hpp"
#include "routing/node_addresses.hpp"
#include "routing/pod_route.hpp"
#include "routing/route_question.hpp"

namespace ipmasq::plugin {

namespace {

using Lines = std::vector<std::string>;

// What cannot be looked at is told, and keeps nothing else from being looked at.
void look(Lines& not_looked, const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    not_looked.emplace_back(error.what());
  }
}

// Where flannel's file is, as the first network says that has one recorded.
std::filesystem::path subnet_file_of(const Recorded& recorded) {
  for (const auto& [name, network] : recorded) {
    if (network.configuration) return network.configuration->netconf.subnet_file;
  }
  return config::default_subnet_file;
}

// ---- the node beside us

// Where a packet to somebody whom no route of its own leads to goes: addresses that nobody has (RFC 5737,
// RFC 3849).
std::map<net::Family, std::string> ways_out() {
  std::map<net::Family, std::string> ways;
  for (const auto* const nobody : {"192.0.2.1", "2001:db8::1"}) {
    const auto address = net::parse_address(nobody).value();
    if (const auto interface = routing::interface_towards(address)) ways[address.family] = *interface;
  }
  return ways;
}

// Addresses of snatTo that a route of the node's own holds, as of "ip route add local".
std::set<net::Address> routed_here(const nat::Ruleset& wanted,
                                   const std::map<net::Address, std::string>& interface_of) {
  std::set<net::Address> found;
  for (const auto& chain : wanted.chains) {
    for (const auto& range : chain.translation.sources()) {
      std::size_t asked = 0;
      for (std::optional next(range.first);
           next && *next <= range.last && asked < doctor::most_asked_of_a_range;
           next = net::next(*next), ++asked) {
        const bool is_here =
            !interface_of.contains(*next) &&
            routing::ask_for_route({.source = {chain.family, {}}, .destination = *next}).type == RTN_LOCAL;
        if (is_here) found.insert(*next);
      }
    }
  }
  return found;
}

void ask_for_the_rest(const Recorded& recorded, doctor::Facts& facts) {
  auto& node = facts.node;
  auto& not_looked = facts.not_looked;
  look(not_looked, [&] { node.foreign = foreign_of_node(); });
  look(not_looked, [&] {
    for (const auto& [interface, address] : routing::addresses_by_interface()) {
      node.addresses.insert(address);
      node.interface_of.emplace(address, interface);
    }
    for (const auto& each : routing::networks_by_interface()) node.networks.insert(each);
    node.interfaces = routing::interfaces();
    node.routed_here = routed_here(facts.ours.wanted, node.interface_of);
  });
  look(not_looked, [&] {
    const auto pods = pods_on_node(recorded);
    node.cut_off = cut_off_pods(pods);
    node.ways = pod_ways(recorded, node.foreign, own_interfaces(pods));
    for (const auto& way : node.ways) {
      node.pod_devices.insert(way.pod_devices.begin(), way.pod_devices.end());
    }
  });
  look(not_looked, [&] { node.no_ways = no_ways(recorded, node.ways, node.foreign, not_looked); });
  look(not_looked, [&] { node.under_ipsec = under_ipsec(facts.ours.wanted, node.ways); });
  look(not_looked, [&] { node.drops = doctor::forward_drops(facts, not_looked); });
  look(not_looked, [&] { node.ospf_routes = routing::ospf_routes(); });
  look(not_looked, [&] { node.way_out = ways_out(); });
}

// Nothing of it is to be taken for a node on which nothing is wrong.
void tell_what_was_not_found(const DoctorFolders& folders, doctor::Facts& facts) {
  auto whys = doctor::why_programs_are_not_told(facts);
  if (folders.not_looked.empty()) whys.push_back(doctor::why_lists_are_not_told(facts));
  whys.push_back(doctor::why_multus_is_not_told(facts));
  std::ranges::copy_if(whys, std::back_inserter(facts.not_looked),
                       [](const std::string& why) { return !why.empty(); });
}

doctor::Facts look_at(const DoctorTarget& target) {
  const state::Store store(target.state_dir);
  doctor::Facts facts;
  std::optional<Recorded> read;
  try {
    read = read_recorded(store);
    store.check_writable();
  } catch (const Error& error) {
    facts.ours.unusable_state.emplace_back(error.what());
  }
  const auto recorded = read.value_or(Recorded());
  facts.not_looked = target.folders.not_looked;
  facts.node =
      doctor::read_surroundings(target.folders.lists, target.folders.plugins, subnet_file_of(recorded),
                                more_cache_folders(facts.not_looked), facts.not_looked);
  tell_ours_from_others(facts.node.bin_folders, facts.not_looked);
  facts.node.elsewhere = target.folders.elsewhere;
  facts.node.taking = target.folders.taking;
  facts.node.own_lists = target.folders.own_lists;
  doctor::read_own_lists(facts.node.own_lists, facts.not_looked);
  facts.node.revisions = target.folders.revisions;
  doctor::read_own_lists(facts.node.revisions, facts.not_looked);
  look_at_our_side(store, std::move(read), facts);
  tell_what_was_not_found(target.folders, facts);
  ask_for_the_rest(recorded, facts);
  count_ports(facts);
  return facts;
}

// ---- what is said

std::string text_of(doctor::Health health) {
  switch (health) {
    case doctor::Health::well:
      return "well";
    case doctor::Health::hurt:
      return "hurt";
    case doctor::Health::not_known:
      return "not known";
  }
  return "";
}

cni::Json to_json(const doctor::Findings& findings, const Lines& not_looked) {
  auto list = cni::Json::array();
  for (const auto& finding : findings) {
    list.push_back({{"name", finding.name},
                    {"weight", doctor::to_text(finding.weight)},
                    {"where", finding.where},
                    {"does", finding.does},
                    {"fix", finding.fix}});
  }
  return {{"node", text_of(doctor::health_of(findings, not_looked))},
          {"summary", doctor::summary(findings, not_looked)},
          {"findings", list},
          {"notLooked", not_looked}};
}

void print(const doctor::Findings& findings, const Lines& not_looked, std::ostream& output) {
  output << doctor::summary(findings, not_looked) << '\n';
  for (const auto& finding : findings) {
    const auto weight =
        finding.weight == doctor::Weight::hurts ? "" : " (" + doctor::to_text(finding.weight) + ")";
    output << finding.name << weight << ": " << finding.does << '\n';
    for (const auto& place : finding.where) output << "  found: " << place << '\n';
    for (const auto& fix : finding.fix) output << "  fix:   " << fix << '\n';
  }
  for (const auto& line : not_looked) output << "could not look: " << line << '\n';
}

}  // namespace

doctor::Health diagnose(const DoctorTarget& target, OutputFormat format, std::ostream& output) {
  auto facts = look_at(target);
  const auto findings = doctor::examine(facts);
  for (auto& line : facts.not_looked) line = nat::printable(line);
  if (format == OutputFormat::json) {
    print_json(to_json(findings, facts.not_looked), output);
  } else {
    print(findings, facts.not_looked, output);
  }
  return doctor::health_of(findings, facts.not_looked);
}

}  // namespace ipmasq::plugin
