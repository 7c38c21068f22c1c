#include "plugin/node_rules.hpp"

#include <algorithm>
#include <iterator>
#include <optional>

#include "cni/error.hpp"

namespace ipmasq::plugin {

namespace {

using netfilter::Backend;

// "auto" for a netconf that cannot be read: it then says nothing else.
config::BackendChoice choice_of(const state::NetworkRecord& record) {
  try {
    return config::parse_netconf(record.netconf).backend;
  } catch (const cni::Error&) {
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

std::vector<Backend> NodeRules::concerned(const Recorded& recorded) const {
  std::vector<Backend> staying;
  std::vector<Backend> leaving;
  for (const auto backend : netfilter::all_backends) {
    const auto name = netfilter::to_text(backend);
    const auto any = [&recorded](auto holds) {
      return std::ranges::any_of(recorded, [&](const auto& each) { return holds(each.second.record); });
    };
    const bool is_left = any([&](const auto& record) { return record && record->leaving == name; });
    const bool is_used = any([&](const auto& record) { return record && record->backend == name; });
    const bool is_unknown = any([](const auto& record) { return !record; });
    if (is_left) {
      leaving.push_back(backend);
    } else if (is_used || (is_unknown && kernel_.open(backend, lock_timeout_)->may_hold_rules())) {
      staying.push_back(backend);
    }
  }
  staying.insert(staying.end(), leaving.begin(), leaving.end());
  return staying;
}

std::vector<std::string> NodeRules::differences(const Recorded& recorded) const {
  std::vector<std::string> lines;
  const auto wanted = wanted_of(recorded);
  for (const auto backend : concerned(recorded)) {
    std::ranges::move(kernel_.open(backend, lock_timeout_)->differences(wanted.of(backend)),
                      std::back_inserter(lines));
  }
  return lines;
}

std::vector<std::string> NodeRules::apply(const Recorded& recorded, const Recorded& before) const {
  std::vector<std::string> changes;
  const auto wanted = wanted_of(recorded);
  const auto wanted_before = wanted_of(before);
  for (const auto backend : concerned(recorded)) {
    std::ranges::move(
        kernel_.open(backend, lock_timeout_)->apply(wanted.of(backend), wanted_before.of(backend)),
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

std::vector<netfilter::CountedRule> NodeRules::rules(const Recorded& recorded) const {
  std::vector<netfilter::CountedRule> rules;
  for (const auto backend : concerned(recorded)) {
    std::ranges::move(kernel_.open(backend, lock_timeout_)->rules(), std::back_inserter(rules));
  }
  return rules;
}

}  // namespace ipmasq::plugin
