// What connection tracking knows of a connection of this node.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "net/address.hpp"

namespace ipmasq::netfilter {

/// A connection as it was opened: ports of TCP, or the identifier of an ICMP echo in `source_port`.
struct Connection {
  net::Address source;
  net::Address destination;
  bool is_tcp = false;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
};

/// What became of a connection's packets on this node.
struct Tracked {
  net::Address seen;         ///< the source address that the destination sees
  bool is_answered = false;  ///< something of the destination came back as far as this node
};

/// nullopt where the kernel knows of no such connection: nothing of it left the node, or it is not tracked.
/// Throws Error{failed}, or another kind but absent, where the kernel does not say.
std::optional<Tracked> tracked(const Connection& connection);

/// Connections of TCP or UDP whose source was translated, to one port of one host, from one address: each has
/// a source port of its own there.
struct PortUse {
  std::uint8_t protocol = 0;
  net::Address seen;  ///< the source that the host sees
  net::Address host;
  std::uint16_t port = 0;
  net::Address source;  ///< of one of them, before it was translated
  std::uint64_t connections = 0;
};

/// Those that have at least `least` connections. Throws Error: absent where nothing can be asked for,
/// forbidden, failed.
std::vector<PortUse> ports_in_use(std::uint64_t least);

}  // namespace ipmasq::netfilter
