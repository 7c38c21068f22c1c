#include "doctor/flows.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>
#include <utility>

namespace ipmasq::doctor {

nat::Flow flow_on(const PodWay& way, const std::set<net::Address>& node_addresses) {
  return {.sources = way.pods,
          .destination = way.destination,
          .in_interface = way.pod_interface,
          .out_interface = way.uplink,
          .in_devices = way.pod_devices,
          .out_devices = way.uplink_devices,
          .node_addresses = node_addresses};
}

std::set<net::Prefix> named_by(const nat::Foreign& foreign) {
  std::set<net::Prefix> found;
  for (const auto& rule : foreign.rules) {
    const bool is_of_nat = rule.table == "nat" && !rule.mark_change;
    if (is_of_nat || rule.is_of_services()) continue;
    for (const auto& each : {rule.source, rule.destination}) {
      if (each && each->value.length > 0) found.insert(each->value);
    }
  }
  return found;
}

std::string text_of(const std::vector<net::Prefix>& pods) {
  constexpr std::size_t most = 8;
  std::string text;
  for (std::size_t each = 0; each < std::min(pods.size(), most); ++each)
    text += (text.empty() ? "" : ", ") + net::to_text(pods[each]);
  return text + (pods.size() > most ? " and " + std::to_string(pods.size() - most) + " more" : "");
}

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
