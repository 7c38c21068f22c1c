#include "netfilter/conntrack_tuple.hpp"

#include <linux/netfilter/nfnetlink_conntrack.h>

#include <algorithm>

#include "netfilter/nftables_layout.hpp"

namespace ipmasq::netfilter {

namespace {

std::optional<net::Address> address_in(const Attributes& addresses, net::Family family, int ipv4, int ipv6) {
  const auto bytes = addresses.bytes(family == net::Family::ipv4 ? ipv4 : ipv6);
  if (bytes.size() != bytes_of(family)) return std::nullopt;
  net::Address address{family, {}};
  std::ranges::copy(bytes, address.bytes.begin());
  return address;
}

}  // namespace

std::optional<ConntrackTuple> tuple_in(const Attributes& connection, int type, net::Family family) {
  if (connection[type] == nullptr) return std::nullopt;
  const Attributes tuple(connection[type]);
  if (tuple[CTA_TUPLE_IP] == nullptr || tuple[CTA_TUPLE_PROTO] == nullptr) return std::nullopt;
  const Attributes addresses(tuple[CTA_TUPLE_IP]);
  const auto source = address_in(addresses, family, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
  const auto destination = address_in(addresses, family, CTA_IP_V4_DST, CTA_IP_V6_DST);
  const Attributes protocol(tuple[CTA_TUPLE_PROTO]);
  const auto number = protocol.bytes(CTA_PROTO_NUM);
  if (!source || !destination || number.size() != 1) return std::nullopt;
  const auto port = protocol.bytes(CTA_PROTO_SRC_PORT);
  const int source_port = port.size() == 2 ? (port[0] << 8) | port[1] : 0;
  return ConntrackTuple{*source, *destination, number[0], static_cast<std::uint16_t>(source_port)};
}

}  // namespace ipmasq::netfilter
