#include "plugin/verbs/own_address.hpp"

#include <algorithm>

#include "error/error.hpp"
#include "plugin/verbs/transaction.hpp"

namespace ipmasq::plugin {

namespace {

bool overlap(const net::Prefix& left, const net::Prefix& right) {
  return left.contains(right) || right.contains(left);
}

// Also of those that are recorded so: a call that was cut short may have come no further.
void lead_pods_of(const Node& node, const std::string& network, const std::set<net::Prefix>& others) {
  const auto stored = node.store.load(network);
  if (!stored.record) throw Error(Kind::failed, "its configuration is not known");
  Plan plan{network, config::as_made(stored.record->made_of), stored.wanted_subnets(), false};
  for (auto attachment : stored.attachments) {
    if (!lead_by_own_address(attachment, others)) continue;
    plan.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
    plan.attachments.push_back(std::move(attachment));
  }
  Transaction transaction(node);
  transaction.run([&] { transaction.settle(plan, stored.record); });
}

}  // namespace

bool lead_by_own_address(state::Attachment& attachment, const std::set<net::Prefix>& others) {
  std::vector<net::Prefix> own;
  for (const auto& address : attachment.addresses) {
    const auto host = net::network_of(address.address, net::bits(address.address.family));
    const auto holds = [&host](const auto& each) { return each.contains(host); };
    if (std::ranges::find(attachment.pod_subnets, host) == attachment.pod_subnets.end() &&
        std::ranges::any_of(attachment.pod_subnets, holds) && std::ranges::any_of(others, holds))
      own.push_back(host);
  }
  attachment.pod_subnets.insert(attachment.pod_subnets.end(), own.begin(), own.end());
  return !own.empty();
}

std::set<net::Prefix> shared_subnets(const state::Store& store, const std::string& network) {
  std::set<net::Prefix> shared;
  for (const auto& other : store.networks()) {
    if (other != network) shared.merge(store.subnets(other));
  }
  const auto own = store.subnets(network);
  if (own.empty()) return shared;
  for (const auto& host : store.hosts(network)) {
    for (const auto& subnet : own) {
      if (subnet.contains(host)) shared.insert(subnet);
    }
  }
  return shared;
}

std::set<net::Prefix> shared_subnets(const Node& node, const std::string& network) {
  auto shared = shared_subnets(node.store, network);
  for (const auto backend : config::all_backends) {
    const auto opened = node.open(backend);
    if (!opened->may_hold_rules()) continue;
    for (const auto& source : opened->sources()) {
      const bool is_host = source.prefix.length == net::bits(source.prefix.family());
      if (source.network != network && !is_host) shared.insert(source.prefix);
    }
  }
  return shared;
}

std::vector<std::string> lead_others_by_own_address(const Node& node, const std::string& network,
                                                    const std::set<net::Prefix>& subnets) {
  std::vector<std::string> problems;
  for (const auto& other : node.store.networks()) {
    if (other == network) continue;
    const auto is_shared = [&](const auto& theirs) {
      return std::ranges::any_of(subnets, [&theirs](const auto& each) { return overlap(each, theirs); });
    };
    try {
      if (std::ranges::any_of(node.store.subnets(other), is_shared)) lead_pods_of(node, other, subnets);
    } catch (const std::exception& error) {
      problems.push_back("network " + network + " has a pod subnet of network " + other +
                         ", whose pods could not be given rules by their own addresses: " + error.what());
    }
  }
  return problems;
}

}  // namespace ipmasq::plugin
