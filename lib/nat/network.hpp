// The node's networks, and what they want of its NAT: config x attachments -> ruleset.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "nat/ruleset.hpp"
#include "net/address.hpp"

namespace ipmasq::config {
struct Netconf;
}

namespace ipmasq::nat {

/// A network of the node: the configuration in force, and the pod subnets that need its rules.
struct Network {
  std::string name;
  std::shared_ptr<const config::Netconf> netconf;
  std::vector<net::Prefix> cluster_networks = {};  ///< from flannel's subnet.env
  std::set<net::Prefix> pod_subnets = {};          ///< none: the network needs no rules
  bool has_more = false;                           ///< pod subnets that are not named here lead to its chains
  std::set<net::Prefix> shared_subnets = {};       ///< another network's, or a LAN, that pods with an
                                                   ///< address among `pod_subnets` stand in
  /// Of single addresses: the policy of the pod, empty for none. Of others nothing is known.
  std::map<net::Prefix, std::string> policies = {};
};

/// The one function that says what is wanted: every network decided, with all of its sources and its own
/// marks. The rest is for the caller to say.
Ruleset wanted_ruleset(const std::vector<Network>& networks);

}  // namespace ipmasq::nat
