#include "plugin/verbs/own_address.hpp"

#include <algorithm>
#include <iterator>
#include <optional>

#include "error/error.hpp"

namespace ipmasq::plugin {

namespace {

// Its length.
std::optional<unsigned> longest_that_holds(const net::Prefix& prefix, const std::set<net::Prefix>& subnets) {
  std::optional<unsigned> longest;
  for (const auto& each : subnets) {
    if (each.contains(prefix)) longest = std::max(longest, std::optional<unsigned>(each.length));
  }
  return longest;
}

// Of a record that cannot be read the kernel knows more.
std::set<net::Prefix> unrecorded_of(const state::Store& store, const std::string& network) {
  std::set<net::Prefix> subnets;
  try {
    if (const auto record = store.undamaged_record(network)) subnets = record->unrecorded;
  } catch (const Error&) {  // NOLINT(bugprone-empty-catch): another network's trouble
  }
  std::erase_if(subnets, [](const auto& each) { return each.is_host(); });
  return subnets;
}

}  // namespace

std::set<net::Prefix> leave_to_others(state::Attachment& attachment, const std::set<net::Prefix>& own,
                                      const std::set<net::Prefix>& others) {
  auto& subnets = attachment.pod_subnets;
  const auto is_left = [&](const net::Prefix& subnet) {
    return !subnet.is_host() && (others.contains(subnet) ||
                                 (!own.contains(subnet) && longest_that_holds(subnet, others).has_value()));
  };
  std::set<net::Prefix> left;
  std::ranges::copy_if(subnets, std::inserter(left, left.end()), is_left);
  std::set<net::Prefix> kept(subnets.begin(), subnets.end());
  for (const auto& subnet : left) kept.erase(subnet);
  std::vector<net::Prefix> alone;
  for (const auto& address : attachment.addresses) {
    const auto host = net::host_prefix(address.address);
    const bool needs_rules =
        std::ranges::any_of(subnets, [&host](const auto& each) { return each.contains(host); });
    const auto theirs = longest_that_holds(host, others);
    if (needs_rules && theirs && theirs >= longest_that_holds(host, kept)) alone.push_back(host);
  }
  std::erase_if(subnets, is_left);
  subnets.insert(subnets.end(), alone.begin(), alone.end());
  return left;
}

std::vector<std::string> other_networks(const state::Store& store, const std::string& network) {
  auto names = store.networks();
  std::erase(names, network);
  return names;
}

std::set<net::Prefix> subnets_of_others(const state::Store& store, const std::string& network) {
  std::set<net::Prefix> subnets;
  for (const auto& other : other_networks(store, network)) subnets.merge(store.subnets(other));
  return subnets;
}

std::set<net::Prefix> subnets_of_others(const Node& node, const std::string& network) {
  auto subnets = subnets_of_others(node.store, network);
  for (const auto& other : other_networks(node.store, network))
    subnets.merge(unrecorded_of(node.store, other));
  for (const auto backend : config::all_backends) {
    auto* const opened = node.open(backend);
    if (!opened->may_hold_rules()) continue;
    for (const auto& source : opened->sources()) {
      if (source.network != network && !source.prefix.is_host()) subnets.insert(source.prefix);
    }
  }
  return subnets;
}

}  // namespace ipmasq::plugin
