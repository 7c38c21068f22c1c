#include "plugin/commands/pod_ways.hpp"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "cni/json.hpp"
#include "config/netconf.hpp"
#include "nat/explain.hpp"
#include "net/address.hpp"
#include "routing/learned_routes.hpp"
#include "routing/pod_route.hpp"
#include "routing/refusal.hpp"

namespace ipmasq::plugin {

namespace {

using net::Family;

// Pods that come by one interface, or by one that is not known.
struct Pods {
  std::set<net::Prefix> subnets;
  std::optional<doctor::PodAt> one = {};
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
        const auto interface = routing::interface_towards(pod.address);
        auto& group = pods[{pod.address.family, interface}];
        group.subnets.insert(pod.network());
        if (interface) group.one = {pod.address, *interface};
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

// An address that nobody has (RFC 5737, RFC 3849): it goes where all goes that is not known better.
net::Address nobody(Family family) {
  return net::parse_address(family == Family::ipv4 ? "192.0.2.1" : "2001:db8::1").value();
}

// One for the world, and one of each network that a route leads
// to and a list keeps.
std::vector<net::Address> destinations(const Recorded& recorded, Family family) {
  constexpr std::size_t most = 64;
  std::vector<net::Address> found{nobody(family)};
  const auto ruleset = ruleset_of(recorded);
  for (const auto& route : routing::routes_by_gateways(family)) {
    const bool is_kept = std::ranges::any_of(ruleset.chains, [&](const auto& chain) {
      return chain.family == family && nat::keeps_all(chain, route);
    });
    if (is_kept && route.length > 0 && found.size() < most) found.push_back(route.address);
  }
  return found;
}

std::set<std::string> uplinks(const std::vector<net::Address>& to, const doctor::PodAt& pod) {
  std::set<std::string> found;
  for (const auto& each : to) {
    const auto uplink = routing::interface_towards(each, pod.address, pod.interface);
    if (uplink && uplink != pod.interface) found.insert(*uplink);
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
    if (each->second.one) all.one = each->second.one;
    if (each->first.second) devices.insert(*each->first.second);
    each = pods.erase(each);
  }
  pods[{family, std::nullopt}] = std::move(all);
}

// Whether the lists name it where nobody says anything.
bool is_default(const net::Prefix& prefix) {
  static const auto defaults = config::parse_netconf(cni::Json::object()).non_masquerade;
  return std::ranges::find(defaults, prefix, &config::ListedPrefix::prefix) != defaults.end();
}

// What a pod's packets are not led to, of one family.
class NoWays {
 public:
  NoWays(const Recorded& recorded, Family family)
      : family_(family), routes_(routing::routes(family)), ruleset_(ruleset_of(recorded)) {}

  std::vector<doctor::NoWay> of(const doctor::PodWay& way) {
    found_.clear();
    ask_for_world(way);
    for (const auto& chain : ruleset_.chains) {
      if (chain.family != family_) continue;
      for (const auto& each : chain.destinations) ask_for_listed(way, each);
    }
    for (const auto& each : routing::refusing_routes(family_)) ask_for_route(way, each);
    return std::move(found_);
  }

 private:
  static bool leads(const routing::KernelRoute& route) { return route.type == RTN_UNICAST; }

  bool leads_to_part_of(const net::Prefix& network) const {
    return std::ranges::any_of(routes_, [&network](const auto& each) {
      return leads(each) && network.contains(each.destination) && each.destination != network;
    });
  }

  // What is announced of all pods often has such a route, beside those of each node.
  bool is_of_pods(const net::Prefix& network) const {
    return std::ranges::any_of(ruleset_.sources, [&network](const nat::Source& each) {
      return network.contains(each.prefix) || each.prefix.contains(network);
    });
  }

  // Of one family, a node may have pods alone.
  bool leads_beyond(const doctor::PodWay& way) const {
    const auto of_pods = ::if_nametoindex(way.one->interface.c_str());
    return std::ranges::any_of(routes_, [of_pods](const auto& each) {
      const auto& to = each.destination.address;
      return leads(each) && !to.is_link_local() && !to.is_multicast() &&
             (each.has_gateway || each.interface != of_pods);
    });
  }

  void ask_for_world(const doctor::PodWay& way) {
    const auto world = nobody(family_);
    const auto refusal = routing::refusal_of(world, way.one->address, way.one->interface);
    if (refusal && leads_beyond(way)) add(way, std::nullopt, *refusal, routing::has_way_to(world));
  }

  // What a list names on purpose: private ranges as a whole stand in lists of sites that have none of them.
  void ask_for_listed(const doctor::PodWay& way, const nat::Destination& listed) {
    const bool is_meant = listed.verdict == nat::Verdict::keep && listed.prefix.length > 0 &&
                          listed.origin.starts_with("nonMasqueradeCIDRs") && !is_default(listed.prefix);
    if (!is_meant || !leads_beyond(way) || is_of_pods(listed.prefix) || leads_to_part_of(listed.prefix))
      return;
    const auto refusal = routing::refusal_of(listed.prefix.address, way.one->address, way.one->interface);
    if (refusal) add(way, listed.prefix, *refusal, true);
  }

  void ask_for_route(const doctor::PodWay& way, const routing::RefusingRoute& route) {
    const auto& to = route.destination;
    const bool is_kept = std::ranges::any_of(ruleset_.chains, [&](const auto& chain) {
      return chain.family == family_ && nat::keeps_all(chain, to);
    });
    if (!is_kept || is_of_pods(to) || leads_to_part_of(to)) return;
    const auto refusal = routing::refusal_of(to.address, way.one->address, way.one->interface);
    if (!refusal || refusal->route != route) return;
    const bool is_all_of_an_entry = std::ranges::any_of(ruleset_.chains, [&to](const auto& chain) {
      return std::ranges::any_of(chain.destinations,
                                 [&to](const auto& each) { return to.contains(each.prefix); });
    });
    add(way, to, *refusal, !is_all_of_an_entry);
  }

  // Each rule or route once: the world comes first.
  void add(const doctor::PodWay& way, const std::optional<net::Prefix>& to, const routing::Refusal& refusal,
           bool is_missed) {
    const bool is_told = std::ranges::any_of(found_, [&](const doctor::NoWay& each) {
      return each.by == refusal.by && (!each.by.empty() || each.to == to) && (each.is_missed || !is_missed);
    });
    if (!is_told) found_.push_back({way.pods, to, refusal.by, refusal.removal, is_missed});
  }

  Family family_;
  std::vector<routing::KernelRoute> routes_;
  nat::Ruleset ruleset_;
  std::vector<doctor::NoWay> found_;
};

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
                         .pod_devices = place.second ? routing::devices_of(*place.second) : devices,
                         .one = group.one};
      const auto left_by = place.second && group.one ? uplinks(to, *group.one) : std::set<std::string>();
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

std::vector<doctor::NoWay> no_ways(const Recorded& recorded, const std::vector<doctor::PodWay>& ways) {
  std::vector<doctor::NoWay> found;
  for (const auto family : {Family::ipv4, Family::ipv6}) {
    NoWays asked(recorded, family);
    std::set<std::vector<net::Prefix>> done;
    for (const auto& way : ways) {
      if (way.pods.front().family() != family || !way.one || !done.insert(way.pods).second) continue;
      std::ranges::move(asked.of(way), std::back_inserter(found));
    }
  }
  return found;
}

}  // namespace ipmasq::plugin
