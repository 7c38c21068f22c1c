#include "plugin/verbs/plan.hpp"

#include <algorithm>

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

bool stands_in(const Node& node, Backend backend, const std::string& network) {
  const auto opened = node.open(backend);
  if (!opened->may_hold_rules()) return false;
  const auto sources = opened->sources();
  return std::ranges::find(sources, network, &nat::Source::network) != sources.end();
}

}  // namespace

nat::Ruleset ruleset_of(const Plan& plan) {
  auto ruleset = nat::wanted_ruleset({{.name = plan.network,
                                       .netconf = plan.configuration.netconf,
                                       .cluster_networks = plan.configuration.made_of.cluster_networks,
                                       .pod_subnets = plan.pod_subnets,
                                       .has_more = !plan.has_all_subnets}});
  ruleset.has_all_sources = plan.has_all_subnets;
  for (const auto& subnet : plan.gone) ruleset.gone.insert({subnet, plan.network});
  return ruleset;
}

nat::Ruleset nothing_of(const std::string& network) {
  return {.networks = {network}};
}

Backend choose_backend(const Node& node, const Plan& plan, const std::optional<state::NetworkRecord>& before,
                       netfilter::Tables tables) {
  if (const auto& choice = plan.configuration.netconf.backend) return *choice;
  const bool was_picked =
      before && before->placement.on == Backend::nftables && chose_by_itself(before->made_of);
  if (was_picked || (!before && node.open(Backend::nftables)->may_hold_rules())) return Backend::nftables;
  return node.kernel.preferred(ruleset_of(plan), tables);
}

state::NetworkRecord record_of(const Node& node, const Plan& plan,
                               const std::optional<state::NetworkRecord>& before) {
  const auto on = choose_backend(node, plan, before, netfilter::Tables::may_be_made);
  const auto other = other_than(on);
  state::NetworkRecord record{.made_of = plan.configuration.made_of, .placement = {.on = on}};
  if (before) {
    record.unrecorded = before->unrecorded;
    if (before->placement.on == other || before->placement.leaving == other) record.placement.leaving = other;
    return record;
  }
  if (stands_in(node, other, plan.network)) record.placement.leaving = other;
  return record;
}

}  // namespace ipmasq::plugin
