// What this node's routing daemon has put into the kernel.
#pragma once

#include <vector>

#include "net/address.hpp"

namespace ipmasq::routing {

/// Destinations of the routes that OSPF gave (protocol RTPROT_OSPF in linux/rtnetlink.h), of all tables, each
/// once. Throws Error{failed}.
std::vector<net::Prefix> ospf_routes();

}  // namespace ipmasq::routing
