// What way the kernel itself has for a packet: RTM_GETROUTE of rtnetlink(7).
#pragma once

#include <set>
#include <string>

#include "routing/policy_rules.hpp"

namespace ipmasq::routing {

struct RouteAnswer {
  int number = 0;          ///< of an error: no way, or one that leads nowhere (ENETUNREACH, EACCES, ...)
  unsigned char type = 0;  ///< RTN_* of the route that was found
  std::set<unsigned> interfaces = {};  ///< by which it leads: one for each next hop that is alive
  unsigned length = 0;                 ///< of the route's destination
  bool is_on_link = false;             ///< it has no gateway

  /// The only one; 0: several, or none.
  unsigned interface() const { return interfaces.size() == 1 ? *interfaces.begin() : 0; }
  bool leads_on() const;
};

/// Throws Error{failed}.
RouteAnswer ask_for_route(const Packet& packet);

/// The name of the interface that an answer leads out by; empty where there is no single one.
std::string interface_of(const RouteAnswer& answer);

/// Of all of them; none where it leads nowhere, or to this node itself.
std::set<std::string> interfaces_of(const RouteAnswer& answer);

/// Whether an interface takes what is to be forwarded; of IPv6 that is not asked. Throws Error{failed}.
bool takes_to_forward(const std::string& interface, net::Family family);

/// Whether an interface drops packets whose sender this node itself has no way to (rp_filter; of IPv6 there
/// is none). Throws Error{failed}.
bool asks_for_way_back(const std::string& interface, net::Family family);

/// Whether an interface drops packets of IPv4 whose sender this node reaches by another (rp_filter is 1).
/// Throws Error{failed}.
bool filters_by_reverse_path(const std::string& interface);

}  // namespace ipmasq::routing
