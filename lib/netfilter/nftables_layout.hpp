// Where addresses stand in packets, how nf_tables numbers their families, and what its registers hold.
#pragma once

#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "net/address.hpp"
#include "netfilter/netlink.hpp"

namespace ipmasq::netfilter {

constexpr std::uint32_t protocol_family(net::Family family) {
  return family == net::Family::ipv4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}

constexpr std::uint32_t bytes_of(net::Family family) {
  return family == net::Family::ipv4 ? sizeof(in_addr) : sizeof(in6_addr);
}

/// In the network header.
constexpr std::uint32_t source_offset(net::Family family) {
  return family == net::Family::ipv4 ? offsetof(iphdr, saddr) : offsetof(ip6_hdr, ip6_src);
}
constexpr std::uint32_t destination_offset(net::Family family) {
  return family == net::Family::ipv4 ? offsetof(iphdr, daddr) : offsetof(ip6_hdr, ip6_dst);
}

using Bytes = std::basic_string<std::uint8_t>;

/// Of an NFTA_*_DATA.
inline Bytes value_in(const nlattr* data) {
  const auto value = Attributes(data).bytes(NFTA_DATA_VALUE);
  return {value.begin(), value.end()};
}

}  // namespace ipmasq::netfilter
