#include "plugin/commands/asked_hosts.hpp"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstdint>

namespace ipmasq::plugin {

namespace {

using routing::KernelRoute;

constexpr unsigned bits_of_byte = 8;
constexpr int most_tries = 4;           // from where a part ends
constexpr std::size_t most_parts = 64;  // that are looked behind

bool is_part_led_to(const KernelRoute& route, const net::Prefix& network) {
  return route.type == RTN_UNICAST && network.contains(route.destination) && route.destination != network;
}

bool is_the_nodes(const KernelRoute& route, const net::Address& address) {
  return route.is_the_kernels && route.type != RTN_UNICAST && route.destination.contains(address) &&
         route.destination.length == net::bits(address.family);
}

// Behind the last address it is the first.
net::Address next(net::Address address) {
  for (auto at = net::bits(address.family) / bits_of_byte; at-- > 0;) {
    if (++address.bytes.at(at) != 0) break;
  }
  return address;
}

net::Address last_of(const net::Prefix& network) {
  auto address = network.address;
  for (auto bit = network.length; bit < net::bits(address.family); ++bit) {
    constexpr auto highest = 0x80U;
    address.bytes.at(bit / bits_of_byte) |= static_cast<std::uint8_t>(highest >> (bit % bits_of_byte));
  }
  return address;
}

}  // namespace

bool leads_to_part_of(const std::vector<KernelRoute>& routes, const net::Prefix& network) {
  return std::ranges::any_of(routes,
                             [&network](const KernelRoute& each) { return is_part_led_to(each, network); });
}

std::optional<net::Address> host_of(const net::Prefix& network, const std::vector<KernelRoute>& routes) {
  const auto& first = network.address;
  const bool is_of_links = first.family == net::Family::ipv6 && first.is_link_local();
  if (net::is_never_forwarded(first) || first.is_multicast() || is_of_links) return std::nullopt;
  std::vector<net::Address> begins{first};
  for (const auto& each : routes) {
    const bool is_looked_behind = begins.size() <= most_parts && is_part_led_to(each, network);
    if (is_looked_behind) begins.push_back(next(last_of(each.destination)));
  }
  const auto is_asked = [&](const net::Address& address) {
    return network.contains(address) && std::ranges::none_of(routes, [&](const KernelRoute& each) {
             return is_the_nodes(each, address) ||
                    (is_part_led_to(each, network) && each.destination.contains(address));
           });
  };
  for (auto address : begins) {
    for (int tries = 0; tries < most_tries; ++tries) {
      if (is_asked(address)) return address;
      address = next(address);
    }
  }
  return std::nullopt;
}

}  // namespace ipmasq::plugin
