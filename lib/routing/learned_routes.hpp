// What routes the kernel has.
#pragma once

#include <vector>

#include "net/address.hpp"

namespace ipmasq::routing {

/// Destinations of the routes that OSPF gave (protocol RTPROT_OSPF in linux/rtnetlink.h), of all tables, each
/// once. Throws Error{failed}.
std::vector<net::Prefix> ospf_routes();

/// Destinations of one family's routes that lead to a gateway, of all tables, each once. Throws
/// Error{failed}.
std::vector<net::Prefix> routes_by_gateways(net::Family family);

}  // namespace ipmasq::routing
