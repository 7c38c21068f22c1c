#include "net/address.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <bit>
#include <charconv>

namespace ipmasq::net {

namespace {

int socket_family(Family family) {
  return family == Family::ipv4 ? AF_INET : AF_INET6;
}

bool holds(std::string_view prefix, const Address& address) {
  const auto parsed = parse_interface_address(prefix);
  return parsed && parsed->network().contains(address);
}

}  // namespace

unsigned bits(Family family) {
  return family == Family::ipv4 ? 32 : 128;
}

bool Address::is_unspecified() const {
  return std::ranges::all_of(bytes, [](std::uint8_t byte) { return byte == 0; });
}

bool Address::is_loopback() const {
  return holds(family == Family::ipv4 ? "127.0.0.0/8" : "::1/128", *this);
}

bool Address::is_multicast() const {
  return holds(family == Family::ipv4 ? "224.0.0.0/4" : "ff00::/8", *this);
}

bool Address::is_link_local() const {
  return holds(family == Family::ipv4 ? "169.254.0.0/16" : "fe80::/10", *this);
}

bool is_never_forwarded(const Address& address) {
  if (address.is_loopback() || address.is_unspecified()) return true;
  return address.family == Family::ipv4 &&
         (holds("0.0.0.0/8", address) || holds("255.255.255.255/32", address));
}

std::optional<Address> parse_address(std::string_view text) {
  Address address;
  address.family = text.find(':') == std::string_view::npos ? Family::ipv4 : Family::ipv6;
  const std::string terminated(text);
  if (terminated.find('\0') != std::string::npos) return std::nullopt;
  if (inet_pton(socket_family(address.family), terminated.c_str(), address.bytes.data()) != 1)
    return std::nullopt;
  return address;
}

std::string to_text(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(socket_family(address.family), address.bytes.data(), text.data(), text.size());
  return text.data();
}

bool Prefix::contains(const Address& other) const {
  return other.family == family() && network_of(other, length) == *this;
}

bool Prefix::contains(const Prefix& other) const {
  return other.length >= length && contains(other.address);
}

Prefix network_of(const Address& address, unsigned length) {
  Prefix prefix{address, length};
  auto& bytes = prefix.address.bytes;
  std::size_t left = length / 8;
  if (left < bytes.size()) bytes.at(left++) &= static_cast<std::uint8_t>(0xff00U >> length % 8);
  if (left < bytes.size())
    std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(left), bytes.end(), std::uint8_t{0});
  return prefix;
}

unsigned length_of(std::span<const std::uint8_t> mask) {
  unsigned length = 0;
  for (const auto byte : mask) {
    if (byte == 0) continue;  // of an IPv4 mask the most are
    length += byte == 0xff ? 8 : static_cast<unsigned>(std::popcount(byte));
  }
  return length;
}

std::string to_text(const Prefix& prefix) {
  return to_text(prefix.address) + "/" + std::to_string(prefix.length);
}

std::optional<InterfaceAddress> parse_interface_address(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = parse_address(text.substr(0, slash));
  const auto digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, length);
  const bool leading_zero = digits.size() > 1 && digits.front() == '0';
  if (!address || error != std::errc{} || stop != end || leading_zero || length > bits(address->family)) {
    return std::nullopt;
  }
  return InterfaceAddress{*address, length};
}

std::string to_text(const InterfaceAddress& address) {
  return to_text(address.address) + "/" + std::to_string(address.length);
}

}  // namespace ipmasq::net
