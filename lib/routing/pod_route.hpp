// How this node reaches a pod: over a bridge or a veth of its own, or out by an uplink as everybody else
// does.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "net/address.hpp"

namespace ipmasq::routing {

/// Whether a bridge's ports are asked for what they are: one question, whose answer is the longer the more
/// pods are there.
enum class Ports { asked, passed_over };

/// Whether a pod's network is a LAN that the node itself is on: by macvlan, ipvlan, or with a device moved
/// into the pod, pods get addresses there, and their packets do not pass the node. True where the node's
/// route to the pod leads on link out by an uplink: a physical device, a VLAN, bond, team, macvlan or ipvlan,
/// a bridge that has one of these as a port, whatever the default route leads out by, or, where the pod's
/// result names no interface on this node
/// (`has_host_interface` false), any that is no bridge; and where the address is this node's own. Two or
/// three questions to the kernel, whatever number of routes there is, beside `ports`. Throws Error{failed}.
bool is_on_an_uplink(const net::InterfaceAddress& pod, bool has_host_interface, Ports ports);

/// Whether this node's packets to an address follow a route that knows more of it than the default route.
/// Throws Error{failed}.
bool has_own_way_to(const net::Address& address);

/// The name of the interface by which packets to an address leave the node; nullopt where no single one does.
/// Throws Error{failed}.
std::optional<std::string> interface_towards(const net::Address& address);

/// The name of the interface that a pod's packets come by: the node's own way to it; where that is refused,
/// or leads out by an uplink, or to where neither a network nor another end of a veth is, past the bridge
/// whose network holds the pod, the one whose network holds it; nullopt where there is none. Throws
/// Error{failed}.
std::optional<std::string> interface_of_pod(const net::Address& pod);

/// Whether what leaves by an interface ends there: the loopback device, or a dummy. Throws Error{failed}.
bool swallows(const std::string& interface);

/// Of an interface of this node.
struct LinkState {
  bool is_up = false;
  bool is_bridge = false;
  bool is_veth = false;
  std::string master = {};  ///< that it is a port of; empty: of none
};

/// nullopt where there is none of that name. Throws Error{failed}.
std::optional<LinkState> link_state(const std::string& name);

/// Throws Error{failed}.
bool is_bridge(const std::string& interface);

/// Whether the node itself gets pods' packets by it: a bridge, or the end of a veth that is no port of
/// anything and whose other end is elsewhere. Throws Error{failed}.
bool brings_packets_of_pods(const std::string& interface);

/// An interface and those below it, by which its packets come and leave: a bridge's ports, what a bond or
/// VLAN stands on. Throws Error{failed}.
std::set<std::string> devices_of(const std::string& interface);

}  // namespace ipmasq::routing
