#include "routing/node_addresses.hpp"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <cstring>
#include <memory>
#include <optional>

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

}  // namespace

std::vector<std::pair<std::string, net::Address>> addresses_by_interface() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) throw_errno("cannot list this node's addresses");
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(first, ::freeifaddrs);
  std::vector<std::pair<std::string, net::Address>> addresses;
  for (const auto* each = first; each != nullptr; each = each->ifa_next) {
    const auto address = address_in(each->ifa_addr);
    if (address) addresses.emplace_back(each->ifa_name, *address);
  }
  return addresses;
}

std::vector<net::Address> node_addresses() {
  std::vector<net::Address> addresses;
  for (const auto& [interface, address] : addresses_by_interface()) addresses.push_back(address);
  return addresses;
}

}  // namespace ipmasq::routing
