#include "plugin/verbs/changed_flows.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "config/made_of.hpp"
#include "config/netconf_reading.hpp"
#include "error/error.hpp"
#include "nat/changed_fates.hpp"
#include "netfilter/live_connections.hpp"
#include "plugin/verbs/recorded.hpp"
#include "routing/node_addresses.hpp"

namespace ipmasq::plugin {

namespace {

using config::ChangedFlows;

// So many at a time, that a node with a million of them needs no more memory than one with few.
constexpr std::size_t most_at_once = 20'000;
// New ones come meanwhile, and have what the lists say now: each look finds fewer.
constexpr int most_looks = 100;

bool goes_on_at_once(std::uint8_t protocol) {
  return protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE || protocol == IPPROTO_ICMP ||
         protocol == IPPROTO_ICMPV6;
}

// What somebody redirected is left to who did: kube-proxy and portmap end theirs themselves. What is for the
// node itself passes no rule of ours.
class Following {
 public:
  Following(const nat::ChangedFates& fates, ChangedFlows which) : fates_(fates), which_(which) {
    const auto addresses = routing::node_addresses();
    of_node_ = {addresses.begin(), addresses.end()};
  }

  std::size_t end_all() const {
    std::size_t ended = 0;
    for (const auto family : {net::Family::ipv4, net::Family::ipv6}) ended += end_all(family);
    return ended;
  }

 private:
  std::size_t end_all(net::Family family) const {
    std::size_t ended = 0;
    for (int looks = 0; looks < most_looks; ++looks) {
      const auto found = netfilter::live_connections(
          family, most_at_once, [this](const auto& connection) { return is_to_end(connection); });
      ended += netfilter::end_connections(found);
      if (found.size() < most_at_once) break;
    }
    return ended;
  }

  bool is_to_end(const netfilter::LiveConnection& connection) const {
    return !connection.is_redirected &&
           (which_ == ChangedFlows::all || goes_on_at_once(connection.protocol)) &&
           fates_.holds(connection.source) &&
           fates_.has_changed({connection.source, connection.destination, connection.seen}) &&
           !of_node_.contains(connection.destination);
  }

  const nat::ChangedFates& fates_;
  ChangedFlows which_;
  std::set<net::Address> of_node_;
};

// How many.
std::size_t end_what_changed(const Node& node, const std::string& name, const config::MadeOf& changed_from) {
  const auto recorded = read_recorded(node.store);
  const auto network = recorded.find(name);
  if (network == recorded.end() || !network->second.configuration) return 0;
  const auto which = config::changed_flows_of(*network->second.configuration);
  if (which == ChangedFlows::keep) return 0;
  const nat::ChangedFates fates(
      ruleset_of(configured_otherwise(recorded, name, config::as_made(changed_from))), ruleset_of(recorded),
      name);
  if (!fates.is_any()) return 0;
  return Following(fates, which).end_all();
}

}  // namespace

FollowedChange end_changed_flows(const Node& node, const std::string& network) {
  FollowedChange followed;
  const auto attempt = [&followed](const auto& step) {
    try {
      step();
    } catch (const Error& error) {
      followed.problem = "connections that live may keep the source that they have, until they end: " +
                         std::string(error.what());
    }
  };
  attempt([&] {
    auto record = node.store.undamaged_record(network);
    if (!record || !record->changed_from) return;
    attempt([&] { followed.ended = end_what_changed(node, network, *record->changed_from); });
    record->changed_from.reset();
    node.store.save(network, *record);
  });
  return followed;
}

}  // namespace ipmasq::plugin
