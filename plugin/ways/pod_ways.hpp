// By which interfaces pods' packets come to this node, and leave it.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "nat/foreign_rule.hpp"
#include "plugin/verbs/recorded.hpp"
#include "plugin/ways/own_interfaces.hpp"

namespace ipmasq::plugin {

/// Of all pods that are recorded, to the world and to what their lists keep, as the kernel's routes lead. A
/// subnet whose interface is not known has a way as well, without one. Throws Error.
std::vector<doctor::PodWay> pod_ways(const Recorded& recorded, const nat::Foreign& foreign,
                                     const OwnInterfaces& own);

/// The interfaces by which packets of all recorded pods come. Throws Error.
std::set<std::string> pod_interfaces(const Recorded& recorded, const OwnInterfaces& own);

/// Whether a subnet of recorded pods holds it.
bool is_in_pod_subnet(const Recorded& recorded, const net::Address& address);

/// An address that nobody has (RFC 5737, RFC 3849): it goes where all goes that is not known better.
net::Address nobody(net::Family family);

/// Networks of one family, 64 at most, that routes by gateways lead to and a list keeps. Throws Error.
std::vector<net::Prefix> kept_networks(const nat::Ruleset& ruleset, net::Family family);

}  // namespace ipmasq::plugin
