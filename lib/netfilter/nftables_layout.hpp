// Where addresses stand in packets and in registers, and how nf_tables numbers families and types of sets.
#pragma once

#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "nat/nftables_rules.hpp"
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

/// What tells a base chain of ours, by its name.
struct BaseChain {
  const char* type;
  std::uint32_t hook;
  std::int32_t priority;
};
inline BaseChain base_chain_of(const std::string& name) {
  if (name == nat::nftables::forward_chain)
    return {"filter", NF_INET_FORWARD, nat::nftables::forward_priority};
  return {"nat", NF_INET_POST_ROUTING, nat::nftables::base_priority};
}

/// Where the second address of a pair is loaded: right behind the first one, which NFT_REG_1 begins with.
constexpr std::uint32_t register_behind(net::Family family) {
  return family == net::Family::ipv4 ? NFT_REG32_01 : NFT_REG_2;
}

inline constexpr std::array all_set_kinds{
    nat::nftables::SetKind::ranges, nat::nftables::SetKind::chain_of_range,
    nat::nftables::SetKind::chain_of_address, nat::nftables::SetKind::selves};

/// What tells a set of ours: its flags (NFT_SET_*), and its key's type, as nft numbers types for nft list to
/// know what to print (nftables: include/datatype.h), and length in bytes.
constexpr std::uint32_t flags_of(nat::nftables::SetKind kind) {
  return (is_map(kind) ? std::uint32_t{NFT_SET_MAP} : 0U) |
         (has_ranges(kind) ? std::uint32_t{NFT_SET_INTERVAL} : 0U);
}
constexpr std::uint32_t key_type(net::Family family, nat::nftables::SetKind kind) {
  constexpr unsigned bits_of_a_type = 6;
  const std::uint32_t address = family == net::Family::ipv4 ? 7 : 8;
  return kind == nat::nftables::SetKind::selves ? address << bits_of_a_type | address : address;
}
constexpr std::uint32_t key_length(net::Family family, nat::nftables::SetKind kind) {
  return kind == nat::nftables::SetKind::selves ? 2 * bytes_of(family) : bytes_of(family);
}

/// Of an interface's name, filled up with zeros: IFNAMSIZ.
inline constexpr std::size_t interface_name_size = 16;

using Bytes = std::basic_string<std::uint8_t>;

/// Of an element.
inline Bytes key_of(const net::Address& address, nat::nftables::SetKind kind) {
  Bytes key(address.bytes.data(), bytes_of(address.family));
  if (kind == nat::nftables::SetKind::selves) key += Bytes(key);
  return key;
}

/// Of an NFTA_*_DATA.
inline Bytes value_in(const nlattr* data) {
  const auto value = Attributes(data).bytes(NFTA_DATA_VALUE);
  return {value.begin(), value.end()};
}

}  // namespace ipmasq::netfilter
