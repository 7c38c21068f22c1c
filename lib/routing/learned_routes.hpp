// What routes the kernel has.
#pragma once

#include <cstdint>
#include <vector>

#include "net/address.hpp"

namespace ipmasq::routing {

struct KernelRoute {
  net::Prefix destination;
  unsigned char type = 0;       ///< RTN_* of linux/rtnetlink.h
  std::uint32_t table = 0;      ///< RT_TABLE_*
  std::uint32_t interface = 0;  ///< by its number; 0: none, or several
  std::uint32_t metric = 0;     ///< the smaller comes first
  std::uint8_t tos = 0;         ///< of packets; 0: any
  net::Prefix source = {};      ///< of packets; of no length: any
  bool is_dead = false;         ///< what it leads by is down
  bool has_gateway = false;     ///< or several
  bool is_of_ospf = false;      ///< protocol RTPROT_OSPF
  bool is_the_kernels = false;  ///< protocol RTPROT_KERNEL: nobody made it
  std::uint32_t nexthop = 0;    ///< the object that it leads by (ip-nexthop(8)); 0: none

  bool operator==(const KernelRoute&) const = default;
};

/// Of one family, of all tables. Throws Error{failed}.
std::vector<KernelRoute> routes(net::Family family);

/// Destinations of the routes that OSPF gave, of all tables, each once. Throws Error{failed}.
std::vector<net::Prefix> ospf_routes();

/// Destinations of one family's routes that lead to a gateway, of all tables, each once. Throws
/// Error{failed}.
std::vector<net::Prefix> routes_by_gateways(net::Family family);

}  // namespace ipmasq::routing
