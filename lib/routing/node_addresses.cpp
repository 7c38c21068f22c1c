#include "routing/node_addresses.hpp"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>
#include <optional>
#include <span>

#include "error/error.hpp"

namespace ipmasq::routing {

namespace {

std::optional<net::Address> address_in(const sockaddr* socket_address) {
  if (socket_address == nullptr) return std::nullopt;
  net::Address address;
  // NOLINTBEGIN(cppcoreguidelines-pro-type-reinterpret-cast): how sockaddr is meant
  if (socket_address->sa_family == AF_INET) {
    const auto& from = reinterpret_cast<const sockaddr_in*>(socket_address)->sin_addr;
    std::memcpy(address.bytes.data(), &from, sizeof from);
  } else if (socket_address->sa_family == AF_INET6) {
    address.family = net::Family::ipv6;
    const auto& from = reinterpret_cast<const sockaddr_in6*>(socket_address)->sin6_addr;
    std::memcpy(address.bytes.data(), &from, sizeof from);
  } else {
    return std::nullopt;
  }
  // NOLINTEND(cppcoreguidelines-pro-type-reinterpret-cast)
  return address;
}

using Addresses = std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)>;

Addresses list_addresses() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) throw_errno("cannot list this node's addresses");
  return {first, ::freeifaddrs};
}

}  // namespace

std::vector<std::pair<std::string, net::Address>> addresses_by_interface() {
  const auto list = list_addresses();
  std::vector<std::pair<std::string, net::Address>> addresses;
  for (const auto* each = list.get(); each != nullptr; each = each->ifa_next) {
    const auto address = address_in(each->ifa_addr);
    if (address) addresses.emplace_back(each->ifa_name, *address);
  }
  return addresses;
}

std::set<std::string> interfaces() {
  const auto list = list_addresses();
  std::set<std::string> names;
  for (const auto* each = list.get(); each != nullptr; each = each->ifa_next) names.insert(each->ifa_name);
  return names;
}

std::vector<std::pair<std::string, net::Prefix>> networks_by_interface() {
  const auto list = list_addresses();
  std::vector<std::pair<std::string, net::Prefix>> networks;
  for (const auto* each = list.get(); each != nullptr; each = each->ifa_next) {
    const auto address = address_in(each->ifa_addr);
    const auto mask = address_in(each->ifa_netmask);
    if (!address || !mask) continue;
    const auto length = net::length_of(std::span(mask->bytes).first(net::bits(mask->family) / 8));
    networks.emplace_back(each->ifa_name, net::network_of(*address, length));
  }
  return networks;
}

std::vector<net::Address> node_addresses() {
  std::vector<net::Address> addresses;
  for (const auto& [interface, address] : addresses_by_interface()) addresses.push_back(address);
  return addresses;
}

}  // namespace ipmasq::routing
