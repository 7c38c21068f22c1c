#include "plugin/ways/pod_ways.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "nat/explain.hpp"
#include "net/address.hpp"
#include "plugin/ways/pod_marks.hpp"
#include "routing/learned_routes.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

using net::Family;
using net::Prefix;

// Pods that come by one interface, or by one that is not known.
struct Pods {
  std::set<net::Prefix> subnets;
  std::vector<doctor::PodAt> attached = {};
};
using ByInterface = std::map<std::pair<Family, std::optional<std::string>>, Pods>;

// More than these (each pod has its own) are taken together.
constexpr std::size_t most_interfaces = 16;

ByInterface by_interface(const Recorded& recorded, const OwnInterfaces& own) {
  ByInterface pods;
  std::set<net::Prefix> placed;
  for (const auto& [name, network] : recorded) {
    for (const auto& attachment : network.stored.attachments) {
      if (attachment.bypasses_node) continue;
      for (const auto& pod : attachment.addresses) {
        const auto interface = interface_of_pod(own, pod.address);
        auto& group = pods[{pod.address.family, interface}];
        group.subnets.insert(pod.network());
        group.attached.push_back({pod.address, interface.value_or("")});
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

// What is asked about for the world stands for all of it.
net::Prefix of_the_world(const net::Prefix& each) {
  const bool is_nobody = each == net::host_prefix(nobody(each.family()));
  return is_nobody ? net::network_of({each.family(), {}}, 0) : each;
}

// By each uplink, what it leads to.
std::map<std::string, std::vector<net::Prefix>> uplinks(const std::vector<net::Prefix>& to,
                                                        const doctor::PodWay& way,
                                                        const routing::PolicyRouting& routing,
                                                        PodMarks& marks) {
  const auto& pod = way.attached.front();
  std::map<std::string, std::vector<net::Prefix>> found;
  for (const auto& each : to) {
    for (const auto& uplink : routing.interfaces_of(
             {pod.address, each.address, pod.interface, marks.sent(way, pod.address, each)}))
      found[uplink].push_back(of_the_world(each));
  }
  found.erase(pod.interface);
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
    std::ranges::move(each->second.attached, std::back_inserter(all.attached));
    if (each->first.second) devices.insert(*each->first.second);
    each = pods.erase(each);
  }
  pods[{family, std::nullopt}] = std::move(all);
}

}  // namespace

std::set<std::string> pod_interfaces(const Recorded& recorded, const OwnInterfaces& own) {
  std::set<std::string> interfaces;
  for (const auto& [place, group] : by_interface(recorded, own)) {
    if (place.second) interfaces.insert(*place.second);
  }
  return interfaces;
}

bool is_in_pod_subnet(const Recorded& recorded, const net::Address& address) {
  return std::ranges::any_of(recorded, [&address](const auto& each) {
    const auto subnets = each.second.stored.wanted_subnets();
    return std::ranges::any_of(subnets,
                               [&address](const Prefix& subnet) { return subnet.contains(address); });
  });
}

net::Address nobody(Family family) {
  return net::parse_address(family == Family::ipv4 ? "192.0.2.1" : "2001:db8::1").value();
}

std::vector<net::Prefix> kept_networks(const nat::Ruleset& ruleset, Family family) {
  constexpr std::size_t most = 64;
  std::vector<net::Prefix> found;
  for (const auto& route : routing::routes_by_gateways(family)) {
    const bool is_kept = std::ranges::any_of(ruleset.chains, [&](const auto& chain) {
      return chain.family == family && nat::keeps_all(chain, route);
    });
    if (is_kept && route.length > 0 && found.size() < most) found.push_back(route);
  }
  return found;
}

std::vector<doctor::PodWay> pod_ways(const Recorded& recorded, const nat::Foreign& foreign,
                                     const OwnInterfaces& own) {
  auto pods = by_interface(recorded, own);
  const auto ruleset = ruleset_of(recorded);
  std::vector<doctor::PodWay> ways;
  for (const auto family : {Family::ipv4, Family::ipv6}) {
    std::set<std::string> devices;
    const auto is_of_family = [family](const auto& each) { return each.first.first == family; };
    if (std::ranges::none_of(pods, is_of_family)) continue;
    if (std::ranges::count_if(pods, is_of_family) > static_cast<std::ptrdiff_t>(most_interfaces))
      merge_into_one(pods, family, devices);
    const routing::PolicyRouting routing(family);
    PodMarks marks(routing, foreign);
    auto to = kept_networks(ruleset, family);
    to.insert(to.begin(), net::network_of(nobody(family), net::bits(family)));
    std::vector<net::Prefix> led_to;
    for (const auto& each : to) {
      if (routing::has_way_to(each.address)) led_to.push_back(of_the_world(each));
    }
    for (const auto& [place, group] : pods) {
      if (place.first != family) continue;
      doctor::PodWay way{.pods = {group.subnets.begin(), group.subnets.end()},
                         .pod_interface = place.second,
                         .pod_devices = place.second ? routing::devices_of(*place.second) : devices,
                         .attached = group.attached};
      const auto left_by = place.second && !way.attached.empty()
                               ? uplinks(to, way, routing, marks)
                               : std::map<std::string, std::vector<net::Prefix>>();
      if (!place.second) std::ranges::copy(led_to, std::back_inserter(way.leads_to));
      for (const auto& [uplink, leads_to] : left_by) {
        way.uplink = uplink;
        way.leads_to = leads_to;
        way.uplink_devices = routing::devices_of(uplink);
        ways.push_back(way);
      }
      if (left_by.empty()) ways.push_back(std::move(way));
    }
  }
  return ways;
}

}  // namespace ipmasq::plugin
