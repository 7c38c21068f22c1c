// The addresses that this node's interfaces have.
#pragma once

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "net/address.hpp"

namespace ipmasq::routing {

/// Of all interfaces, in the kernel's order. Throws Error{failed}.
std::vector<net::Address> node_addresses();

/// The same, each after the name of its interface.
std::vector<std::pair<std::string, net::Address>> addresses_by_interface();

/// The names of all interfaces. Throws Error{failed}.
std::set<std::string> interfaces();

/// The networks that these are of, each after the name of its interface. Throws Error{failed}.
std::vector<std::pair<std::string, net::Prefix>> networks_by_interface();

}  // namespace ipmasq::routing
