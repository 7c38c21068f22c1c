#include "plugin/verbs/recorded.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "config/made_of.hpp"
#include "config/netconf_reading.hpp"
#include "error/error.hpp"
#include "nat/network.hpp"
#include "plugin/verbs/attachment.hpp"
#include "plugin/verbs/own_address.hpp"
#include "plugin/verbs/policies.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

// What of its addresses a pod led by before stays until that is recorded.
void lead_by_policies(RecordedNetwork& network) {
  const auto netconf = config::netconf_of(network.configuration);
  network.policies = policies_of(network.stored.attachments, *netconf);
  for (auto& attachment : network.stored.attachments) {
    if (!lead_by_policy(attachment, *netconf)) continue;
    network.stored.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
    network.led_anew.push_back(attachment);
  }
}

RecordedNetwork with_configuration(state::Network stored) {
  RecordedNetwork network{.stored = std::move(stored), .configuration = nullptr};
  for (const auto& [path, reason, is_of_later_version] : network.stored.damaged) {
    if (is_of_later_version)
      network.written_later = path.string() + ": " + reason;
    else
      network.problems.push_back(path.string() + " is damaged: " + reason);
  }
  if (!network.stored.record) {
    if (network.stored.damaged.empty() && network.stored.unread.empty())
      network.problems.emplace_back("its configuration is not recorded");
    return network;
  }
  const auto& made_of = network.stored.record->made_of;
  try {
    network.configuration =
        config::in_force(made_of.netconf, made_of, pods_among(network.stored.wanted_subnets()));
    lead_by_policies(network);
  } catch (const Error& error) {
    network.problems.emplace_back(error.what());
  }
  return network;
}

// What of `prefix` none of `within` covers, which lie in it.
void add_rest(const net::Prefix& prefix, const std::vector<net::Prefix>& within,
              std::set<net::Prefix>& rest) {
  if (within.empty()) {
    rest.insert(prefix);
    return;
  }
  if (std::ranges::find(within, prefix) != within.end()) return;
  auto second = prefix.address;
  second.bytes.at(prefix.length / 8) |= static_cast<std::uint8_t>(0x80U >> prefix.length % 8);
  for (const auto& half :
       {net::network_of(prefix.address, prefix.length + 1), net::network_of(second, prefix.length + 1)}) {
    std::vector<net::Prefix> within_half;
    std::ranges::copy_if(within, std::back_inserter(within_half),
                         [&half](const auto& each) { return half.contains(each); });
    add_rest(half, within_half, rest);
  }
}

void add_rest(const net::Prefix& prefix, const std::set<net::Prefix>& known, std::set<net::Prefix>& rest) {
  const auto holds = [&prefix](const auto& each) { return each.contains(prefix); };
  if (known.contains(prefix) || std::ranges::any_of(known, holds)) return;
  std::vector<net::Prefix> within;
  std::ranges::copy_if(known, std::back_inserter(within),
                       [&prefix](const auto& each) { return prefix.contains(each); });
  add_rest(prefix, within, rest);
}

// A pod subnet that is known does not tell that an address in it has a policy.
void add_rest(const nat::Source& source, const std::set<net::Prefix>& known, std::set<net::Prefix>& rest) {
  if (source.policy.empty()) return add_rest(source.prefix, known, rest);
  if (!known.contains(source.prefix)) rest.insert(source.prefix);
}

// Those that `name` leaves to others: of two networks with the same one, the first by name keeps it, whose
// rules are met first already.
std::set<net::Prefix> subnets_of_others(const Recorded& recorded, const std::string& name) {
  std::set<net::Prefix> others;
  const auto own = recorded.at(name).stored.wanted_subnets();
  for (const auto& [other, network] : recorded) {
    for (const auto& subnet : network.stored.wanted_subnets()) {
      if (!subnet.is_host() && (other < name || (other != name && !own.contains(subnet))))
        others.insert(subnet);
    }
  }
  return others;
}

// Where nothing tells of a pod, the pod subnet stays its network's.
void forget_left_subnets(state::Network& stored, const std::set<net::Prefix>& left) {
  if (!stored.damaged_ids.empty()) return;
  for (const auto& subnet : left) stored.pod_subnets.erase(subnet);
}

// What of its pod subnets goes to others by that.
std::set<net::Prefix> lead_apart(RecordedNetwork& network, const std::set<net::Prefix>& own,
                                 const std::set<net::Prefix>& others) {
  std::set<net::Prefix> left;
  for (auto& attachment : network.stored.attachments) {
    const auto before = attachment.pod_subnets;
    left.merge(leave_to_others(attachment, own, others));
    if (attachment.pod_subnets == before) continue;
    const auto known = std::ranges::find(network.led_anew, attachment.id, &state::Attachment::id);
    if (known == network.led_anew.end())
      network.led_anew.push_back(attachment);
    else
      *known = attachment;
  }
  forget_left_subnets(network.stored, left);
  return left;
}

// Two networks may have come to have a pod subnet in common, each without knowing of the other.
void lead_apart(Recorded& recorded) {
  for (auto& [name, network] : recorded) {
    const auto own = network.stored.wanted_subnets();
    network.shared_anew = lead_apart(network, own, subnets_of_others(recorded, name));
  }
}

// Of the networks that its pods stand in, those that are a LAN of the node by now.
std::set<net::Prefix> lans_among(const state::Network& stored) {
  std::map<net::Prefix, bool> is_lan;
  for (const auto& attachment : stored.attachments) {
    const auto alone = lans_of(attachment);
    for (const auto& pod : attachment.addresses) {
      const auto subnet = pod.network();
      const bool leads = std::ranges::find(attachment.pod_subnets, subnet) != attachment.pod_subnets.end();
      if ((leads || alone.contains(subnet)) && !is_lan.contains(subnet))
        is_lan[subnet] = routing::is_on_an_uplink(pod, true, routing::Ports::asked);
    }
  }
  std::set<net::Prefix> lans;
  for (const auto& [subnet, is_one] : is_lan) {
    if (is_one) lans.insert(subnet);
  }
  return lans;
}

nat::Ruleset ruleset_of(const Recorded& recorded, std::optional<config::Backend> backend) {
  std::vector<nat::Network> networks;
  nat::Ruleset kept_apart;
  std::set<std::string> elsewhere;
  bool knows_all = true;
  for (const auto& [name, network] : recorded) {
    auto plan = network.plan();
    knows_all = knows_all && plan && plan->has_all_subnets;
    if (!plan) continue;
    const bool is_here = !backend || network.stored.record->placement.on == *backend;
    if (!is_here) elsewhere.insert(name);
    networks.push_back(
        {name, netconf_of(plan->configuration), config::made_of(*plan->configuration).cluster_networks,
         is_here ? std::move(plan->pod_subnets) : std::set<net::Prefix>{}, is_here && !plan->has_all_subnets,
         std::move(plan->shared_subnets), std::move(plan->policies)});
  }
  auto ruleset = nat::wanted_ruleset(networks);
  ruleset.elsewhere = std::move(elsewhere);
  ruleset.has_all_sources = knows_all;
  return ruleset;
}

}  // namespace

std::optional<Plan> RecordedNetwork::plan() const {
  if (!configuration) return std::nullopt;
  Plan plan{stored.name, configuration, stored.wanted_subnets(), stored.is_complete};
  plan.attachments = led_anew;
  plan.policies = policies;
  for (const auto& attachment : led_anew)
    plan.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
  auto record = *stored.record;
  record.shared_subnets.insert(shared_anew.begin(), shared_anew.end());
  plan.shared_subnets = record.shared_by(plan.pod_subnets);
  return plan;
}

std::string RecordedNetwork::backend() const {
  return stored.record ? config::to_text(stored.record->placement.on) : "";
}

Recorded read_recorded(const state::Store& store) {
  Recorded recorded;
  for (auto& [name, stored] : store.load()) recorded.emplace(name, with_configuration(std::move(stored)));
  lead_apart(recorded);
  return recorded;
}

Recorded configured_otherwise(Recorded recorded, const std::string& network,
                              config::SharedConfiguration configuration) {
  auto& changed = recorded.at(network);
  changed.configuration = std::move(configuration);
  lead_by_policies(changed);
  return recorded;
}

void leave_lans(RecordedNetwork& network) {
  const auto lans = lans_among(network.stored);
  if (lans.empty()) return;
  lead_apart(network, {}, lans);
  network.shared_anew.insert(lans.begin(), lans.end());
}

void leave_standing(Recorded& recorded, const std::vector<nat::Source>& unrecorded) {
  for (auto& [name, network] : recorded) {
    std::set<net::Prefix> others;
    for (const auto& source : unrecorded) {
      if (!source.prefix.is_host() && source.network != name) others.insert(source.prefix);
    }
    if (!others.empty())
      network.shared_anew.merge(lead_apart(network, network.stored.wanted_subnets(), others));
  }
}

std::set<net::Prefix> standing_beside(const std::set<net::Prefix>& known, const std::string& network,
                                      const Node& node) {
  std::set<net::Prefix> found;
  for (const auto backend : config::all_backends) {
    auto* const opened = node.open(backend);
    if (!opened->may_hold_rules()) continue;
    for (const auto& source : opened->sources()) {
      if (source.network == network) add_rest(source, known, found);
    }
  }
  return found;
}

std::vector<nat::Source> unrecorded_sources(const Node& node, const Recorded& recorded) {
  std::map<std::string, std::set<net::Prefix>> known;
  for (const auto& [name, network] : recorded) known[name] = network.stored.wanted_subnets();
  std::vector<nat::Source> found;
  for (const auto backend : config::all_backends) {
    auto* const opened = node.open(backend);
    if (!opened->may_hold_rules()) continue;
    for (const auto& source : opened->sources()) {
      std::set<net::Prefix> rest;
      add_rest(source, known[source.network], rest);
      for (const auto& prefix : rest) found.push_back({prefix, source.network, source.policy});
    }
  }
  return found;
}

nat::Ruleset ruleset_of(const Recorded& recorded) {
  return ruleset_of(recorded, std::optional<config::Backend>());
}

nat::Ruleset ruleset_of(const Recorded& recorded, config::Backend backend) {
  return ruleset_of(recorded, std::optional(backend));
}

}  // namespace ipmasq::plugin
