// The addresses that this node's interfaces have.
#pragma once

#include <vector>

#include "net/address.hpp"

namespace ipmasq::plugin {

/// Of all interfaces, in the kernel's order. Throws cni::Error{io_failure}.
std::vector<net::Address> node_addresses();

}  // namespace ipmasq::plugin
