// Where addresses stand in packets, and how nf_tables numbers their families.
#pragma once

#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <linux/netfilter.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include <cstddef>
#include <cstdint>

#include "net/address.hpp"

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

}  // namespace ipmasq::netfilter
