#include "plugin/ways/pods_alike.hpp"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

#include "doctor/flows.hpp"
#include "nat/packet.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

using doctor::PodAt;
using net::Prefix;

struct Name {
  Prefix prefix;
  std::uint32_t leads_by = 0;  // of a route that leads on by one interface

  auto operator<=>(const Name&) const = default;
};

std::set<Name> names_of(const routing::PolicyRouting& routing,
                        const std::vector<routing::KernelRoute>& routes, const nat::Foreign& foreign) {
  std::set<Name> names;
  for (const auto& each : routing.named_by_rules()) names.insert({each});
  for (const auto& route : routes) {
    names.insert({route.destination, route.type == RTN_UNICAST ? route.interface : 0});
    if (route.source.length > 0) names.insert({route.source});
  }
  if (routing.mark_bits() == 0) return names;
  for (const auto& each : doctor::named_by(foreign)) names.insert({each});
  return names;
}

// Those of the pods that what may mark packets tells from others.
std::set<std::string> told_apart(const std::set<std::string>& interfaces,
                                 const routing::PolicyRouting& routing, const nat::Foreign& foreign) {
  std::set<std::string> found;
  if (routing.mark_bits() == 0) return found;
  for (const auto& pattern : doctor::interfaces_named_by(foreign)) {
    const auto is_meant = [&pattern](const std::string& each) { return nat::is_interface_of(pattern, each); };
    if (std::ranges::all_of(interfaces, is_meant)) continue;
    std::ranges::copy_if(interfaces, std::inserter(found, found.end()), is_meant);
  }
  return found;
}

}  // namespace

RecordedPods::RecordedPods(const std::vector<doctor::PodWay>& ways, const routing::PolicyRouting& routing,
                           const std::vector<routing::KernelRoute>& routes, const nat::Foreign& foreign) {
  std::set<std::pair<net::Address, std::string>> known;  // a way by each uplink has the same pods
  for (const auto& way : ways) {
    subnets_.insert(way.pods.begin(), way.pods.end());
    for (const auto& pod : way.attached) {
      const bool is_new = known.emplace(pod.address, pod.interface).second;
      if (is_new)
        pods_.push_back(
            {.way = &way, .at = pod, .has_named_interface = routing.names_interface(pod.interface)});
      if (!pod.interface.empty()) interfaces_.insert(pod.interface);
    }
  }
  const auto marked = told_apart(interfaces_, routing, foreign);
  for (auto& pod : pods_)
    pod.has_named_interface = pod.has_named_interface || marked.contains(pod.at.interface);
  std::ranges::sort(pods_, {}, [](const Pod& pod) { return pod.at.address; });
  std::map<std::string, std::uint32_t> numbers;
  for (const auto& each : interfaces_) numbers[each] = ::if_nametoindex(each.c_str());
  std::size_t number = 0;
  for (const auto& name : names_of(routing, routes, foreign)) {
    ++number;
    const auto holds = std::ranges::find_if(subnets_, [&name](const Prefix& subnet) {
      return subnet.contains(name.prefix) || name.prefix.contains(subnet);
    });
    if (holds == subnets_.end()) continue;
    const bool is_narrow = std::ranges::any_of(subnets_, [&name](const Prefix& subnet) {
      return subnet.contains(name.prefix) && subnet != name.prefix;
    });
    for (auto& pod : pods_) {
      // The route that leads to a pod by its own interface is as it should be.
      const bool is_its_own = name.leads_by != 0 && name.leads_by == numbers[pod.at.interface];
      if (!name.prefix.contains(pod.at.address)) continue;
      if (is_its_own) {
        pod.has_own_interface = pod.has_own_interface || name.prefix == net::host_prefix(pod.at.address);
        continue;
      }
      pod.names.insert(number);
      pod.has_own_name = pod.has_own_name || is_narrow;
    }
  }
  for (auto& pod : pods_)
    pod.has_own_name = pod.has_own_name || (pod.has_own_interface && pod.has_named_interface);
}

template <typename Key>
std::vector<PodsAlike> RecordedPods::grouped(Key key_of) const {
  std::vector<PodsAlike> groups;
  std::map<decltype(key_of(pods_.front())), std::size_t> known;
  for (const auto& pod : pods_) {
    const auto [place, is_new] = known.try_emplace(key_of(pod), groups.size());
    if (is_new) groups.push_back({pod.way, {}});
    groups[place->second].pods.push_back(pod.at);
  }
  return groups;
}

std::vector<PodsAlike> RecordedPods::by_interface() const {
  return grouped([](const Pod& pod) { return std::tuple(pod.way, pod.at.interface, pod.names); });
}

std::vector<PodsAlike> RecordedPods::by_names() const {
  return grouped([](const Pod& pod) {
    return std::tuple(pod.way, pod.at.interface.empty(), pod.has_named_interface ? pod.at.interface : "",
                      pod.names);
  });
}

std::vector<Prefix> RecordedPods::as_prefixes(const std::vector<PodAt>& pods) const {
  const auto are_meant = [&pods](const Pod& each) { return std::ranges::find(pods, each.at) != pods.end(); };
  std::vector<Prefix> found;
  for (const auto& subnet : subnets_) {
    bool are_all = true;
    bool is_next = false;
    for (const auto& each : pods_) {
      if (!subnet.contains(each.at.address)) continue;
      are_all = are_all && are_meant(each);
      is_next = is_next || !each.has_own_name;
    }
    if (are_all && is_next) found.push_back(subnet);
  }
  for (const auto& pod : pods) {
    const bool is_held =
        std::ranges::any_of(found, [&pod](const Prefix& each) { return each.contains(pod.address); });
    if (!is_held) found.push_back(net::host_prefix(pod.address));
  }
  return found;
}

bool RecordedPods::has_own_interface(const PodAt& pod) const {
  return std::ranges::any_of(pods_,
                             [&pod](const Pod& each) { return each.at == pod && each.has_own_interface; });
}

bool RecordedPods::is_interface_named(const std::string& interface) const {
  return !interface.empty() && std::ranges::any_of(pods_, [&interface](const Pod& each) {
    return each.at.interface == interface && each.has_named_interface;
  });
}

const doctor::PodWay& RecordedPods::way_of(const PodsAlike& alike) {
  const auto& interface = alike.pods.front().interface;
  if (alike.way->pod_interface || interface.empty()) return *alike.way;
  if (!is_interface_named(interface)) return way_of_the_rest(*alike.way);
  const auto [known, is_new] = own_ways_.try_emplace({alike.way, interface}, *alike.way);
  auto& way = known->second;
  if (!is_new) return way;
  way.attached.clear();
  way.pod_interface = interface;
  way.pod_devices = routing::devices_of(interface);
  return way;
}

// By none of the interfaces that are told apart.
const doctor::PodWay& RecordedPods::way_of_the_rest(const doctor::PodWay& all) {
  const auto [known, is_new] = own_ways_.try_emplace({&all, ""}, all);
  auto& way = known->second;
  if (!is_new) return way;
  way.attached.clear();
  std::erase_if(way.pod_devices, [this](const std::string& each) { return is_interface_named(each); });
  return way;
}

bool RecordedPods::is_for_a_subnet_of(const Prefix& route, const Prefix& pods) const {
  return std::ranges::any_of(
      subnets_, [&](const Prefix& subnet) { return subnet.contains(pods) && route.contains(subnet); });
}

std::vector<PodAt> RecordedPods::in(const Prefix& prefix) const {
  std::vector<PodAt> found;
  for (const auto& each : pods_) {
    if (prefix.contains(each.at.address)) found.push_back(each.at);
  }
  return found;
}

}  // namespace ipmasq::plugin
