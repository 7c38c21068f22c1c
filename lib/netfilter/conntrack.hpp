// What connection tracking knows of a connection of this node.
#pragma once

#include <cstdint>
#include <optional>

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

/// The source address that the destination sees; nullopt where the kernel does not know of the connection, or
/// does not say.
std::optional<net::Address> source_seen(const Connection& connection);

}  // namespace ipmasq::netfilter
