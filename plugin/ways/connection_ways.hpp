// Where the packets of one pod to one destination, and the answers, are led, by what the kernel says of
// routes.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "nat/foreign_rule.hpp"
#include "net/address.hpp"
#include "plugin/ways/own_interfaces.hpp"
#include "routing/refusal.hpp"

namespace ipmasq::plugin {

struct ConnectionWays {
  net::Address source = {};  ///< the pod
  std::set<net::Address> node_addresses = {};
  doctor::PodWay way = {};                   ///< of several uplinks none
  routing::Asked sent = {};                  ///< where the pod's interface is known
  std::vector<routing::Asked> answers = {};  ///< by each of its uplinks; none: they are not known
};

/// Throws Error.
ConnectionWays ways_of(const net::Address& source, const net::Address& destination,
                       const routing::PolicyRouting& routing, const nat::Foreign& foreign,
                       const OwnInterfaces& own);

/// Appends a sentence for each rule or route by which this node leads it, or the answer to it, nowhere, or on
/// to where it is lost: `pod_interfaces` are those of all pods, `is_to_pod` says that it is sent to one.
/// Throws Error.
void append_where_lost(const ConnectionWays& ways, const routing::PolicyRouting& routing,
                       const std::set<std::string>& pod_interfaces, bool is_to_pod, const OwnInterfaces& own,
                       std::vector<std::string>& sentences);

}  // namespace ipmasq::plugin
