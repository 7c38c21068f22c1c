#include "plugin/verbs/recorded.hpp"

#include <algorithm>

#include "error/error.hpp"

namespace ipmasq::plugin {

namespace {

RecordedNetwork with_configuration(state::Network stored) {
  RecordedNetwork network{.stored = std::move(stored), .configuration = {}, .problems = {}};
  for (const auto& [path, reason] : network.stored.damaged) {
    network.problems.push_back(path.string() + " is damaged: " + reason);
  }
  if (!network.stored.record) {
    if (network.stored.damaged.empty()) network.problems.emplace_back("its configuration is not recorded");
    return network;
  }
  const auto& made_of = network.stored.record->made_of;
  try {
    network.configuration = config::in_force(config::read_configuration(made_of.netconf), made_of);
  } catch (const Error& error) {
    network.problems.emplace_back(error.what());
  }
  return network;
}

nat::Ruleset ruleset_of(const Recorded& recorded, std::optional<config::Backend> backend) {
  std::vector<nat::Network> networks;
  nat::Ruleset kept_apart;
  bool knows_all = true;
  for (const auto& [name, network] : recorded) {
    auto plan = network.plan();
    knows_all = knows_all && plan && plan->has_all_subnets;
    if (!plan) continue;
    const bool is_here = !backend || network.stored.record->placement.on == *backend;
    networks.push_back({name, plan->configuration.netconf, plan->configuration.made_of.cluster_networks,
                        is_here ? std::move(plan->pod_subnets) : std::set<net::Prefix>{},
                        is_here && !plan->has_all_subnets});
  }
  auto ruleset = nat::wanted_ruleset(networks);
  ruleset.has_all_sources = knows_all;
  ruleset.has_all_marks = knows_all;
  return ruleset;
}

}  // namespace

std::optional<Plan> RecordedNetwork::plan() const {
  if (!configuration) return std::nullopt;
  return Plan{stored.name, *configuration, stored.wanted_subnets(), stored.is_complete};
}

std::string RecordedNetwork::backend() const {
  return stored.record ? config::to_text(stored.record->placement.on) : "";
}

Recorded read_recorded(const state::Store& store) {
  Recorded recorded;
  for (auto& [name, stored] : store.load()) recorded.emplace(name, with_configuration(std::move(stored)));
  return recorded;
}

std::vector<nat::Source> unrecorded_sources(netfilter::Kernel& kernel, const Recorded& recorded) {
  std::vector<nat::Source> found;
  for (const auto backend : config::all_backends) {
    const auto opened = kernel.open(backend, std::chrono::nanoseconds{0});
    if (!opened->may_hold_rules()) continue;
    std::ranges::copy_if(opened->sources(), std::back_inserter(found),
                         [&recorded](const nat::Source& each) { return !recorded.contains(each.network); });
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
