#include "doctor/flows.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>
#include <utility>

namespace ipmasq::doctor {

std::vector<net::Prefix> pod_subnets_of(const Facts& facts, net::Family family) {
  std::vector<net::Prefix> subnets;
  for (const auto& network : facts.ours.networks) {
    std::ranges::copy_if(network.pod_subnets, std::back_inserter(subnets),
                         [family](const net::Prefix& subnet) { return subnet.family() == family; });
  }
  return subnets;
}

std::vector<nat::Contradiction> contradictions_for_all_pods(const Facts& facts) {
  std::vector<nat::Contradiction> found;
  for (const auto family : {net::Family::ipv4, net::Family::ipv6}) {
    for (const auto* const backend : {"iptables", "nftables"}) {
      nat::Flow flow{
          .sources = {}, .in_devices = facts.node.pod_devices, .node_addresses = facts.node.addresses};
      for (const auto& network : facts.ours.networks) {
        if (network.backend != backend) continue;
        std::ranges::copy_if(network.pod_subnets, std::back_inserter(flow.sources),
                             [family](const net::Prefix& subnet) { return subnet.family() == family; });
      }
      if (flow.sources.empty()) continue;
      const nat::OurPlace place{std::string_view(backend) == "nftables", facts.ours.wanted.yield_marks};
      for (auto& each : nat::contradictions(facts.node.foreign, place, flow))
        found.push_back(std::move(each));
    }
  }
  return found;
}

}  // namespace ipmasq::doctor
