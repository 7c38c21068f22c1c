#include "plugin/ways/own_interfaces.hpp"

#include <algorithm>

#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

OwnInterfaces own_interfaces(const std::vector<PodOnNode>& pods) {
  OwnInterfaces own;
  for (const auto& [network, attachment, interfaces, gateways] : pods) {
    for (const auto& pod : attachment.addresses) {
      const auto routed = routing::interface_of_pod(pod.address);
      if (routed && std::ranges::find(interfaces, *routed) != interfaces.end()) continue;
      const auto found = std::ranges::find_if(interfaces, routing::brings_packets_of_pods);
      if (found != interfaces.end()) own.emplace(pod.address, *found);
    }
  }
  return own;
}

std::optional<std::string> interface_of_pod(const OwnInterfaces& own, const net::Address& pod) {
  const auto found = own.find(pod);
  return found == own.end() ? routing::interface_of_pod(pod) : std::optional(found->second);
}

}  // namespace ipmasq::plugin
