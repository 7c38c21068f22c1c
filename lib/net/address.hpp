// IP addresses and prefixes as values: parsed, compared and printed, never looked up.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ipmasq::net {

enum class Family : std::uint8_t { ipv4, ipv6 };

/// Number of bits of an address: 32 or 128.
unsigned bits(Family family);

/// An IPv4 or IPv6 address, in network byte order; of an IPv4 address the last 12 bytes are zero.
struct Address {
  Family family = Family::ipv4;
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const Address&) const = default;

  bool is_unspecified() const;
  bool is_loopback() const;    ///< 127.0.0.0/8, ::1
  bool is_multicast() const;   ///< 224.0.0.0/4, ff00::/8
  bool is_link_local() const;  ///< 169.254.0.0/16, fe80::/10
};

/// Whether no router forwards packets for it: this network's (0.0.0.0/8), this host's (127.0.0.0/8, ::, ::1),
/// and the limited broadcast (255.255.255.255). RFC 6890.
bool is_never_forwarded(const Address& address);

/// The text that inet_pton(3) accepts; nullopt for anything else (zone indices and leading zeros included).
std::optional<Address> parse_address(std::string_view text);
std::string to_text(const Address& address);

/// A network: the bits of `address` after `length` are zero.
struct Prefix {
  Address address;
  unsigned length = 0;

  auto operator<=>(const Prefix&) const = default;

  Family family() const { return address.family; }
  bool contains(const Address& other) const;
  bool contains(const Prefix& other) const;
  /// Of one address: /32, or /128 of IPv6.
  bool is_host() const { return length == bits(family()); }
};

/// The network of `length` bits (at most bits(address.family)) that holds `address`.
Prefix network_of(const Address& address, unsigned length);
/// Of the address alone.
inline Prefix host_prefix(const Address& address) {
  return {address, bits(address.family)};
}
/// Length of a prefix by its mask; where ones stand behind zeros it is their number all the same.
unsigned length_of(std::span<const std::uint8_t> mask);
std::string to_text(const Prefix& prefix);

/// An address with the length of its network, as an interface has it and CNI results print it: 10.244.1.5/24.
struct InterfaceAddress {
  Address address;
  unsigned length = 0;

  auto operator<=>(const InterfaceAddress&) const = default;

  Prefix network() const { return network_of(address, length); }
};

/// "ADDRESS/LENGTH"; nullopt for anything else.
std::optional<InterfaceAddress> parse_interface_address(std::string_view text);
std::string to_text(const InterfaceAddress& address);

}  // namespace ipmasq::net
