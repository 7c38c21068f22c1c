#include "plugin/commands/pod_ways.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "nat/explain.hpp"
#include "net/address.hpp"
#include "routing/learned_routes.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

using net::Family;

// Pods that come by one interface, or by one that is not known.
struct Pods {
  std::set<net::Prefix> subnets;
  std::optional<net::Address> one = {};
};
using ByInterface = std::map<std::pair<Family, std::optional<std::string>>, Pods>;

// More than these (each pod has its own) are taken together.
constexpr std::size_t most_interfaces = 16;

ByInterface by_interface(const Recorded& recorded) {
  ByInterface pods;
  std::set<net::Prefix> placed;
  for (const auto& [name, network] : recorded) {
    for (const auto& attachment : network.stored.attachments) {
      if (attachment.bypasses_node) continue;
      for (const auto& pod : attachment.addresses) {
        auto& group = pods[{pod.address.family, routing::interface_towards(pod.address)}];
        group.subnets.insert(pod.network());
        group.one = pod.address;
        placed.insert(pod.network());
      }
    }
  }
  for (const auto& [name, network] : recorded) {
    for (const auto& subnet : network.stored.wanted_subnets()) {
      const bool is_placed =
          std::ranges::any_of(placed, [&subnet](const net::Prefix& each) { return subnet.contains(each); });
      if (!is_placed) pods[{subnet.family(), std::nullopt}].subnets.insert(subnet);
    }
  }
  return pods;
}

// An address that nobody has (RFC 5737, RFC 3849), for the world, and one of each network that a route leads
// to and a list keeps.
std::vector<net::Address> destinations(const Recorded& recorded, Family family) {
  constexpr std::size_t most = 64;
  std::vector<net::Address> found{
      net::parse_address(family == Family::ipv4 ? "192.0.2.1" : "2001:db8::1").value()};
  const auto ruleset = ruleset_of(recorded);
  for (const auto& route : routing::routes_by_gateways(family)) {
    const bool is_kept = std::ranges::any_of(ruleset.chains, [&](const auto& chain) {
      return chain.family == family && nat::keeps_all(chain, route);
    });
    if (is_kept && route.length > 0 && found.size() < most) found.push_back(route.address);
  }
  return found;
}

std::set<std::string> uplinks(const std::vector<net::Address>& to, const net::Address& pod,
                              const std::string& pod_interface) {
  std::set<std::string> found;
  for (const auto& each : to) {
    const auto uplink = routing::interface_towards(each, pod, pod_interface);
    if (uplink && uplink != pod_interface) found.insert(*uplink);
  }
  return found;
}

void merge_into_one(ByInterface& pods, Family family, std::set<std::string>& devices) {
  Pods all;
  for (auto each = pods.begin(); each != pods.end();) {
    if (each->first.first != family) {
      ++each;
      continue;
    }
    all.subnets.merge(each->second.subnets);
    if (each->first.second) devices.insert(*each->first.second);
    each = pods.erase(each);
  }
  pods[{family, std::nullopt}] = std::move(all);
}

}  // namespace

std::vector<doctor::PodWay> pod_ways(const Recorded& recorded) {
  auto pods = by_interface(recorded);
  std::vector<doctor::PodWay> ways;
  for (const auto family : {Family::ipv4, Family::ipv6}) {
    std::set<std::string> devices;
    const auto is_of_family = [family](const auto& each) { return each.first.first == family; };
    if (std::ranges::count_if(pods, is_of_family) > static_cast<std::ptrdiff_t>(most_interfaces))
      merge_into_one(pods, family, devices);
    const auto to = destinations(recorded, family);
    for (const auto& [place, group] : pods) {
      if (place.first != family) continue;
      doctor::PodWay way{.pods = {group.subnets.begin(), group.subnets.end()},
                         .pod_interface = place.second,
                         .pod_devices = place.second ? routing::devices_of(*place.second) : devices};
      const auto left_by =
          place.second && group.one ? uplinks(to, *group.one, *place.second) : std::set<std::string>();
      for (const auto& uplink : left_by) {
        way.uplink = uplink;
        way.uplink_devices = routing::devices_of(uplink);
        ways.push_back(way);
      }
      if (left_by.empty()) ways.push_back(std::move(way));
    }
  }
  return ways;
}

}  // namespace ipmasq::plugin
