// What a call wants of one network, and where its rules are to be.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/shared_configuration.hpp"
#include "nat/ruleset.hpp"
#include "plugin/verbs/node.hpp"
#include "state/records.hpp"

namespace ipmasq::plugin {

/// Of a node whose network is on iptables although nftables is preferred there.
inline constexpr auto undone_by_nftables =
    "backend is \"iptables\", but nftables has a nat chain on postrouting here: a masquerade rule there "
    "undoes "
    "exemptions; set \"backend\": \"auto\"";

struct Plan {
  std::string network;
  config::SharedConfiguration configuration;
  std::set<net::Prefix> pod_subnets;                 ///< that need rules
  bool has_all_subnets = true;                       ///< false: the network may have more, which stay
  std::set<net::Prefix> gone = {};                   ///< that need none any more
  std::vector<state::Attachment> attachments = {};   ///< that the call is about: to be recorded
  std::set<net::Prefix> without_pods = {};           ///< whose pods may live, though nothing tells of them
  bool has_all_pods = false;                         ///< nobody lives but who is recorded, or to be recorded
  std::set<net::Prefix> shared_subnets = {};         ///< another network's, or LANs, in which pods lead by
                                                     ///< their own addresses, among `pod_subnets` or recorded
  std::map<net::Prefix, std::string> policies = {};  ///< of addresses, as nat::Network has them
};

/// What is wanted of the back end that carries the network.
nat::Ruleset ruleset_of(const Plan& plan);

/// What is wanted of a back end that carries nothing of the network.
nat::Ruleset nothing_of(const std::string& network);

/// The same of a back end that the network leaves for another one.
nat::Ruleset moved_away(const std::string& network);

/// The pod subnets of a network whose rules stand in a back end, whatever is recorded: somebody restored
/// them, or a record was lost.
std::set<net::Prefix> standing_in(const Node& node, config::Backend backend, const std::string& network);

/// The back end that `plan` asks for, now. "auto" stays with nftables once it has picked it. `before`: what
/// is recorded of the network. Throws Error where the kernel cannot be asked.
config::Backend choose_backend(const Node& node, const Plan& plan,
                               const std::optional<state::NetworkRecord>& before, netfilter::Tables tables);

/// Of pods that stand in these subnets; of those whose markers tell of them, without reading a record of one.
config::HasPods pods_among(std::set<net::Prefix> subnets);
config::HasPods recorded_pods(const state::Store& store, const std::string& network);

/// Of the pod subnets that a network shares, those that pods are in by what is recorded of their own
/// addresses.
std::set<net::Prefix> recorded_shared_subnets(const state::Store& store, const std::string& network,
                                              const std::optional<state::NetworkRecord>& record);

/// The pod subnets of attachments that are recorded, or to be recorded.
std::set<net::Prefix> subnets_with_pods(const state::Store& store, const Plan& plan);

/// What is to be recorded of the network while its rules are on their way: both back ends that have some, as
/// is recorded, or as the kernel says.
state::NetworkRecord record_of(const Node& node, const Plan& plan,
                               const std::optional<state::NetworkRecord>& before);

}  // namespace ipmasq::plugin
