#include "plugin/verbs/wanted.hpp"

#include <algorithm>

#include "config/flannel.hpp"
#include "error/error.hpp"

namespace ipmasq::plugin {

namespace {

nat::Network network_of(const state::Network& recorded, std::string& problem) {
  nat::Network network{.name = recorded.name, .is_known = !recorded.lacks_attachments};
  if (recorded.is_empty()) return network;
  if (!recorded.broken.empty()) {
    network.is_known = false;
    problem = recorded.broken.front().path.string() + " is damaged: " + recorded.broken.front().reason;
  }
  if (!recorded.record) {
    network.is_known = false;
    problem = "its recorded configuration is missing or damaged";
    return network;
  }
  try {
    network.netconf = config::parse_netconf(recorded.record->netconf);
    network.netconf = config::effective_netconf(recorded.record->netconf);
    network.cluster_networks = config::read_cluster_networks(network.netconf.subnet_file);
  } catch (const Error& error) {
    network.is_known = false;
    problem = error.what();
    return network;
  }
  for (const auto& attachment : recorded.attachments) {
    network.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
  }
  return network;
}

}  // namespace

Wanted wanted_of(const Recorded& recorded) {
  Wanted wanted;
  for (const auto& [name, network] : recorded) {
    std::string problem;
    wanted.networks_.push_back(network_of(network, problem));
    const auto& warnings = wanted.networks_.back().netconf.warnings;
    wanted.warnings_.insert(warnings.begin(), warnings.end());
    if (network.record) wanted.places_[name] = {network.record->backend, network.record->leaving};
    if (!problem.empty()) wanted.problems_.emplace(name, problem);
  }
  return wanted;
}

nat::Ruleset Wanted::of(netfilter::Backend backend) const {
  auto networks = networks_;
  for (auto& network : networks) {
    const auto place = places_.find(network.name);
    const bool is_here = place != places_.end() && place->second.backend == netfilter::to_text(backend);
    if (!is_here) network.pod_subnets.clear();
  }
  return nat::wanted_ruleset(networks);
}

bool Wanted::is_used(netfilter::Backend backend) const {
  return std::ranges::any_of(
      places_, [&](const auto& place) { return place.second.backend == netfilter::to_text(backend); });
}

bool Wanted::is_left(netfilter::Backend backend) const {
  return std::ranges::any_of(
      places_, [&](const auto& place) { return place.second.leaving == netfilter::to_text(backend); });
}

}  // namespace ipmasq::plugin
