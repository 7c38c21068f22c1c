#include "plugin/verbs/plan.hpp"

#include <algorithm>
#include <utility>

#include "config/made_of.hpp"
#include "config/netconf_reading.hpp"
#include "nat/network.hpp"
#include "plugin/verbs/policies.hpp"

namespace ipmasq::plugin {

namespace {

using config::Backend;

Backend other_than(Backend backend) {
  return backend == Backend::nftables ? Backend::iptables : Backend::nftables;
}

bool chose_by_itself(const config::MadeOf& made_of) {
  const auto backend = made_of.netconf.find("backend");
  return backend == made_of.netconf.end() || *backend == "auto";
}

}  // namespace

nat::Ruleset ruleset_of(const Plan& plan) {
  auto ruleset =
      nat::wanted_ruleset({{.name = plan.network,
                            .netconf = netconf_of(plan.configuration),
                            .cluster_networks = config::made_of(*plan.configuration).cluster_networks,
                            .pod_subnets = plan.pod_subnets,
                            .has_more = !plan.has_all_subnets,
                            .shared_subnets = plan.shared_subnets,
                            .policies = plan.policies}});
  ruleset.has_all_sources = plan.has_all_subnets;
  for (const auto& subnet : plan.gone) ruleset.gone.insert({subnet, plan.network});
  for (const auto& attachment : plan.attachments) {
    for (const auto& pod : attachment.addresses) ruleset.pods.insert(pod.address);
  }
  return ruleset;
}

nat::Ruleset nothing_of(const std::string& network) {
  return {.networks = {network}};
}

nat::Ruleset moved_away(const std::string& network) {
  return {.networks = {network}, .elsewhere = {network}};
}

std::set<net::Prefix> standing_in(const Node& node, Backend backend, const std::string& network) {
  std::set<net::Prefix> subnets;
  auto* const opened = node.open(backend);
  if (!opened->may_hold_rules()) return subnets;
  for (const auto& source : opened->sources()) {
    if (source.network == network) subnets.insert(source.prefix);
  }
  return subnets;
}

Backend choose_backend(const Node& node, const Plan& plan, const std::optional<state::NetworkRecord>& before,
                       netfilter::Tables tables) {
  if (const auto& choice = config::backend_of(*plan.configuration)) return *choice;
  const bool was_picked =
      before && before->placement.on == Backend::nftables && chose_by_itself(before->made_of);
  if (was_picked || (!before && node.open(Backend::nftables)->may_hold_rules())) return Backend::nftables;
  return node.kernel.preferred(ruleset_of(plan), tables);
}

namespace {

// Where earlier changes are still to be followed, what was before the first of them: by connections that
// live, and by pods that have another policy now.
std::optional<config::MadeOf> changed_from(const Plan& plan, const state::NetworkRecord& before) {
  const bool is_of_pods = has_policies(config::made_of(*plan.configuration)) ||
                          has_policies(before.made_of) ||
                          (before.changed_from && has_policies(*before.changed_from));
  if (!is_of_pods && config::changed_flows_of(*plan.configuration) == config::ChangedFlows::keep)
    return std::nullopt;
  if (before.changed_from) return before.changed_from;
  const bool is_same = before.made_of == config::made_of(*plan.configuration);
  return is_same ? std::nullopt : std::optional(before.made_of);
}

}  // namespace

state::NetworkRecord record_of(const Node& node, const Plan& plan,
                               const std::optional<state::NetworkRecord>& before) {
  const auto on = choose_backend(node, plan, before, netfilter::Tables::may_be_made);
  const auto other = other_than(on);
  state::NetworkRecord record{.made_of = config::made_of(*plan.configuration), .placement = {.on = on}};
  const bool was_there = before && (before->placement.on == other || before->placement.leaving == other);
  if (was_there || !standing_in(node, other, plan.network).empty()) record.placement.leaving = other;
  record.shared_subnets = plan.shared_subnets;
  if (!before) return record;
  record.changed_from = changed_from(plan, *before);
  record.unrecorded = before->unrecorded;
  record.shared_subnets.insert(before->shared_subnets.begin(), before->shared_subnets.end());
  return record;
}

config::HasPods pods_among(std::set<net::Prefix> subnets) {
  return [subnets = std::move(subnets)](net::Family family) {
    return std::ranges::any_of(subnets, [family](const auto& each) { return each.family() == family; });
  };
}

config::HasPods recorded_pods(const state::Store& store, const std::string& network) {
  return [&store, network](net::Family family) {
    return pods_among(store.subnets(network))(family) || pods_among(store.hosts(network))(family);
  };
}

std::set<net::Prefix> recorded_shared_subnets(const state::Store& store, const std::string& network,
                                              const std::optional<state::NetworkRecord>& record) {
  if (!record || record->shared_subnets.empty()) return {};
  auto addresses = store.hosts(network);
  addresses.insert(record->unrecorded.begin(), record->unrecorded.end());
  return record->shared_by(addresses);
}

std::set<net::Prefix> subnets_with_pods(const state::Store& store, const Plan& plan) {
  auto subnets = store.subnets(plan.network);
  subnets.merge(store.hosts(plan.network));
  for (const auto& attachment : plan.attachments)
    subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
  return subnets;
}

}  // namespace ipmasq::plugin
