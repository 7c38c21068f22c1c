// The addresses that this node's interfaces have.
#pragma once

#include <vector>

#include "net/address.hpp"

namespace ipmasq::routing {

/// Of all interfaces, in the kernel's order. Throws Error{failed}.
std::vector<net::Address> node_addresses();

}  // namespace ipmasq::routing
