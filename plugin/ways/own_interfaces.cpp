#include "plugin/ways/own_interfaces.hpp"

#include <algorithm>
#include <vector>

#include "cni/cache.hpp"
#include "cni/result.hpp"
#include "plugin/verbs/caches.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

OwnInterfaces own_interfaces(const Recorded& recorded) {
  cni::CacheFilter filter;
  for (const auto& [name, network] : recorded) filter.networks.insert(name);
  std::map<std::string, std::vector<std::string>> told;
  for (const auto& cached : read_caches_of_node(filter).living)
    told.emplace(cni::cache_name(cached.network, cached.id), cni::host_interfaces(cached.result));
  OwnInterfaces own;
  for (const auto& [name, network] : recorded) {
    for (const auto& attachment : network.stored.attachments) {
      const auto names = told.find(cni::cache_name(name, attachment.id));
      if (names == told.end() || attachment.bypasses_node) continue;
      for (const auto& pod : attachment.addresses) {
        const auto routed = routing::interface_of_pod(pod.address);
        if (routed && std::ranges::find(names->second, *routed) != names->second.end()) continue;
        const auto found = std::ranges::find_if(names->second, routing::brings_packets_of_pods);
        if (found != names->second.end()) own.emplace(pod.address, *found);
      }
    }
  }
  return own;
}

std::optional<std::string> interface_of_pod(const OwnInterfaces& own, const net::Address& pod) {
  const auto found = own.find(pod);
  return found == own.end() ? routing::interface_of_pod(pod) : std::optional(found->second);
}

}  // namespace ipmasq::plugin
