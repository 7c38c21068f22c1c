#include "plugin/verbs/changed_flows.hpp"

#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "config/made_of.hpp"
#include "config/netconf_reading.hpp"
#include "error/error.hpp"
#include "nat/changed_fates.hpp"
#include "netfilter/live_connections.hpp"
#include "plugin/verbs/recorded.hpp"
#include "routing/masquerade_source.hpp"
#include "routing/node_addresses.hpp"
#include "routing/pod_route.hpp"
#include "routing/route_question.hpp"

namespace ipmasq::plugin {

namespace {

using config::ChangedFlows;

// So many at a time, that a node with a million of them needs no more memory than one with few.
constexpr std::size_t most_at_once = 20'000;
// New ones come meanwhile, and have what the lists say now: each look finds fewer.
constexpr int most_looks = 100;

// How long the pods' next packets are waited for, and how long nobody looks meanwhile.
constexpr std::chrono::seconds patience(1);
constexpr std::chrono::milliseconds pause(1);

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

  FollowedChange end_all() {
    FollowedChange all;
    for (const auto family : {net::Family::ipv4, net::Family::ipv6}) all.ended += end_all(family);
    if (not_ended_ > 0) {
      all.problem =
          std::to_string(not_ended_) +
          " connections whose other side sends all the time have the source that they had, until it "
          "pauses";
    }
    return all;
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::size_t end_all(net::Family family) {
    std::size_t ended = 0;
    for (int looks = 0; looks < most_looks; ++looks) {
      const auto found = netfilter::live_connections(
          family, most_at_once, [this](const auto& connection) { return is_to_end(connection); });
      ended += netfilter::end_connections(found);
      hold_off_other_side(found);
      if (found.size() < most_at_once) break;
    }
    return ended;
  }

  bool is_to_end(const netfilter::LiveConnection& connection) {
    const nat::PodConnection its{connection.source, connection.destination, connection.seen};
    const auto given = [this](const auto& of, const auto& translation) { return given_to(of, translation); };
    return !connection.is_redirected &&
           (which_ == ChangedFlows::all || goes_on_at_once(connection.protocol)) &&
           fates_.holds(connection.source) && fates_.has_changed(its, given) &&
           !is_of_node(connection.destination);
  }

  bool is_of_node(const net::Address& destination) const {
    return of_node_.contains(destination) ||
           routing::ask_for_route({.source = {destination.family, {}}, .destination = destination}).type ==
               RTN_LOCAL;
  }

  // Where the other side sends first, its packet opens a connection in which nothing translates what the pod
  // answers: it is ended until the pod has sent first.
  void hold_off_other_side(const std::vector<netfilter::ConnectionHandle>& ended) {
    while (true) {
      const auto found = netfilter::successors_of(ended);
      const bool is_over = Clock::now() >= end_;
      if (is_over) not_ended_ += found.of_other_side.size();
      if (is_over || (found.of_other_side.empty() && found.missing == 0)) return;
      netfilter::end_connections(found.of_other_side);
      std::this_thread::sleep_for(pause);
    }
  }

  std::optional<net::Range> given_to(const nat::PodConnection& connection,
                                     const nat::Translation& translation) {
    if (ways_.size() >= most_at_once) ways_.clear();
    const auto [place, is_new] = ways_.try_emplace({connection.source, connection.destination});
    auto& way = place->second;
    if (is_new) {
      way.sent = {connection.source, connection.destination,
                  routing::interface_of_pod(connection.source).value_or("")};
      way.uplink = routing::interface_of(routing::ask_for_route(way.sent));
    }
    if (way.uplink.empty()) return std::nullopt;
    if (const auto to = translation.source_by(way.uplink)) return to;
    const auto address = routing::masquerade_source(way.sent, way.uplink);
    return address ? std::optional(net::Range{*address, *address}) : std::nullopt;
  }

  struct Way {
    routing::Packet sent = {};
    std::string uplink = {};  // empty: no single one
  };

  const nat::ChangedFates& fates_;
  ChangedFlows which_;
  std::set<net::Address> of_node_;
  std::map<std::pair<net::Address, net::Address>, Way> ways_;
  Clock::time_point end_ = Clock::now() + patience;
  std::size_t not_ended_ = 0;
};

FollowedChange end_what_changed(const Node& node, const std::string& name,
                                const config::MadeOf& changed_from) {
  const auto recorded = read_recorded(node.store);
  const auto network = recorded.find(name);
  if (network == recorded.end() || !network->second.configuration) return {};
  const auto which = config::changed_flows_of(*network->second.configuration);
  if (which == ChangedFlows::keep) return {};
  const nat::ChangedFates fates(
      ruleset_of(configured_otherwise(recorded, name, config::as_made(changed_from))), ruleset_of(recorded),
      name);
  if (!fates.is_any()) return {};
  return Following(fates, which).end_all();
}

}  // namespace

FollowedChange end_changed_flows(const Node& node, const std::string& network) {
  FollowedChange followed;
  const auto tell = [&followed](const Error& error, const char* how_long) {
    followed.problem = "connections that live may keep the source that they have, until " +
                       std::string(how_long) + ": " + error.what();
  };
  constexpr auto until_next = "the next ADD or sync, or the agent, ends them";
  try {
    auto record = node.store.undamaged_record(network);
    if (!record || !record->changed_from) return followed;
    try {
      followed = end_what_changed(node, network, *record->changed_from);
    } catch (const Error& error) {
      const bool may_pass = error.kind() == Kind::busy || error.kind() == Kind::failed;
      tell(error, may_pass ? until_next : "they end");
      if (may_pass) return followed;
    }
    record->changed_from.reset();
    node.store.save(network, *record);
  } catch (const Error& error) {
    tell(error, until_next);
  }
  return followed;
}

}  // namespace ipmasq::plugin
