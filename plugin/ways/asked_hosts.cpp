#include "plugin/ways/asked_hosts.hpp"

#include <linux/rtnetlink.h>

#include <algorithm>

#include "net/range.hpp"

namespace ipmasq::plugin {

namespace {

using routing::KernelRoute;

constexpr int most_tries = 4;           // from where a part ends
constexpr std::size_t most_parts = 64;  // that are looked behind

bool is_part_led_to(const KernelRoute& route, const net::Prefix& network) {
  return route.type == RTN_UNICAST && network.contains(route.destination) && route.destination != network;
}

bool is_the_nodes(const KernelRoute& route, const net::Address& address) {
  return route.is_the_kernels && route.type != RTN_UNICAST && route.destination.contains(address) &&
         route.destination.length == net::bits(address.family);
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
    if (begins.size() > most_parts) break;
    if (!is_part_led_to(each, network)) continue;
    if (const auto behind = net::next(net::range_of(each.destination).last)) begins.push_back(*behind);
  }
  const auto is_asked = [&](const net::Address& address) {
    return network.contains(address) && std::ranges::none_of(routes, [&](const KernelRoute& each) {
             return is_the_nodes(each, address) ||
                    (is_part_led_to(each, network) && each.destination.contains(address));
           });
  };
  for (const auto& begin : begins) {
    std::optional address = begin;
    for (int tries = 0; address && tries < most_tries; ++tries, address = net::next(*address)) {
      if (is_asked(*address)) return address;
    }
  }
  return std::nullopt;
}

}  // namespace ipmasq::plugin
