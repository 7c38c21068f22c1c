#include "plugin/verbs/node_rules.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "error/error.hpp"

namespace ipmasq::plugin {

namespace {

using netfilter::Backend;

// "auto" for a netconf that cannot be read: it then says nothing else.
config::BackendChoice choice_of(const state::NetworkRecord& record) {
  try {
    return config::parse_netconf(record.netconf).backend;
  } catch (const Error&) {
    return config::BackendChoice::automatic;
  }
}

bool was_given_nftables(const state::Network& network) {
  return network.record && !network.is_empty() &&
         network.record->backend == netfilter::to_text(Backend::nftables) &&
         choice_of(*network.record) == config::BackendChoice::automatic;
}

Backend other_than(Backend backend) {
  return backend == Backend::nftables ? Backend::iptables : Backend::nftables;
}

// Network and pod subnet.
using PodSubnets = std::set<std::pair<std::string, net::Prefix>>;

PodSubnets pod_subnets_in(const nat::Ruleset& ruleset) {
  PodSubnets subnets;
  for (const auto& subnet : ruleset.pod_subnets) subnets.emplace(subnet.network, subnet.prefix);
  return subnets;
}

PodSubnets pod_subnets_in(const Recorded& recorded, Backend backend) {
  PodSubnets subnets;
  for (const auto& [name, network] : recorded) {
    if (!network.record || network.record->backend != netfilter::to_text(backend)) continue;
    for (const auto& attachment : network.attachments) {
      for (const auto& subnet : attachment.pod_subnets) subnets.emplace(name, subnet);
    }
  }
  return subnets;
}

std::set<net::Family> families_of_change(const PodSubnets& before, const PodSubnets& after) {
  PodSubnets changed;
  std::ranges::set_symmetric_difference(before, after, std::inserter(changed, changed.end()));
  std::set<net::Family> families;
  for (const auto& [network, subnet] : changed) families.insert(subnet.family());
  return families;
}

}  // namespace

Backend NodeRules::chosen(config::BackendChoice choice, const Recorded& recorded) const {
  if (choice == config::BackendChoice::iptables) return Backend::iptables;
  if (choice == config::BackendChoice::nftables) return Backend::nftables;
  const bool stays =
      std::ranges::any_of(recorded, [](const auto& network) { return was_given_nftables(network.second); });
  return stays ? Backend::nftables : kernel_.preferred();
}

void NodeRules::choose_backends(Recorded& recorded) const {
  const auto before = recorded;
  std::optional<Backend> automatic;
  for (auto& [name, network] : recorded) {
    if (!network.record || network.is_empty()) continue;
    auto& record = *network.record;
    const auto choice = choice_of(record);
    if (choice == config::BackendChoice::automatic && !automatic) automatic = chosen(choice, before);
    const auto backend = choice == config::BackendChoice::automatic ? *automatic : chosen(choice, before);
    if (record.backend == netfilter::to_text(backend)) continue;
    if (!record.backend.empty()) {
      record.leaving = record.backend;
    } else if (kernel_.open(other_than(backend), lock_timeout_)->may_hold_rules()) {
      // Its record may have been lost while its rules were there.
      record.leaving = netfilter::to_text(other_than(backend));
    }
    record.backend = netfilter::to_text(backend);
  }
}

std::vector<Backend> NodeRules::concerned(const Wanted& wanted) const {
  std::vector<Backend> staying;
  std::vector<Backend> leaving;
  for (const auto backend : netfilter::all_backends) {
    if (wanted.is_left(backend)) {
      leaving.push_back(backend);
    } else if (wanted.is_used(backend) ||
               (wanted.has_unplaced() && kernel_.open(backend, lock_timeout_)->may_hold_rules())) {
      staying.push_back(backend);
    }
  }
  staying.insert(staying.end(), leaving.begin(), leaving.end());
  return staying;
}

std::vector<std::string> NodeRules::differences(const Wanted& wanted) const {
  std::vector<std::string> lines;
  for (const auto backend : concerned(wanted)) {
    std::ranges::move(kernel_.open(backend, lock_timeout_)->differences(wanted.of(backend)),
                      std::back_inserter(lines));
  }
  return lines;
}

std::vector<std::string> NodeRules::apply(const Wanted& wanted, const Recorded& before) const {
  std::vector<std::string> changes;
  for (const auto backend : concerned(wanted)) {
    const auto ruleset = wanted.of(backend);
    const auto certain = families_of_change(pod_subnets_in(before, backend), pod_subnets_in(ruleset));
    std::ranges::move(kernel_.open(backend, lock_timeout_)->apply(ruleset, certain),
                      std::back_inserter(changes));
  }
  return changes;
}

void NodeRules::save_changed(const Recorded& recorded, const Recorded& before) const {
  for (const auto& [name, network] : recorded) {
    const auto old = before.find(name);
    const bool is_same = old != before.end() && old->second.record == network.record;
    if (network.record && !is_same) store_.save(name, *network.record);
  }
}

void NodeRules::save_arrived(Recorded& recorded) const {
  for (auto& [name, network] : recorded) {
    if (!network.record || network.record->leaving.empty()) continue;
    network.record->leaving.clear();
    store_.save(name, *network.record);
  }
}

std::vector<netfilter::CountedRule> NodeRules::rules(const Wanted& wanted) const {
  std::vector<netfilter::CountedRule> rules;
  for (const auto backend : concerned(wanted)) {
    std::ranges::move(kernel_.open(backend, lock_timeout_)->rules(), std::back_inserter(rules));
  }
  return rules;
}

}  // namespace ipmasq::plugin
