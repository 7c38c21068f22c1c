// One direction of a connection, as connection tracking tells it. linux/netfilter/nfnetlink_conntrack.h
#pragma once

#include <cstdint>
#include <optional>

#include "net/address.hpp"
#include "netfilter/netlink.hpp"

namespace ipmasq::netfilter {

struct ConntrackTuple {
  net::Address source;
  net::Address destination;
  std::uint8_t protocol = 0;      ///< as IP numbers them
  std::uint16_t source_port = 0;  ///< where the protocol has ports
};

/// Of a connection's CTA_TUPLE_ORIG or CTA_TUPLE_REPLY; nullopt where there is none, or not all of it.
std::optional<ConntrackTuple> tuple_in(const Attributes& connection, int type, net::Family family);

}  // namespace ipmasq::netfilter
