#include "nat/explain.hpp"

#include <algorithm>

namespace ipmasq::nat {

Explanation explain(const Ruleset& ruleset, const net::Address& source, const net::Address& destination) {
  const auto subnet = std::ranges::find_if(
      ruleset.pod_subnets, [&source](const PodSubnet& each) { return each.prefix.contains(source); });
  if (subnet == ruleset.pod_subnets.end()) {
    return {Fate::left_alone, "no pod subnet of a recorded network holds " + net::to_text(source), {}, {}};
  }
  const auto decides = std::ranges::find_if(subnet->destinations, [&destination](const Destination& each) {
    return each.prefix.contains(destination);
  });
  if (decides != subnet->destinations.end()) {
    const auto fate = decides->verdict == Verdict::keep ? Fate::kept : Fate::masqueraded;
    return {fate, decides->origin, *subnet, decides->prefix};
  }
  return {subnet->catch_all ? Fate::masqueraded : Fate::left_alone, "catchAll", *subnet, {}};
}

bool keeps_all(const PodSubnet& subnet, const net::Prefix& network) {
  const auto& destinations = subnet.destinations;
  const auto decides = std::ranges::find_if(
      destinations, [&network](const Destination& each) { return each.prefix.contains(network); });
  const bool has_hole = std::ranges::any_of(destinations, [&network](const Destination& each) {
    return each.verdict == Verdict::masquerade && network.contains(each.prefix);
  });
  return decides != destinations.end() && decides->verdict == Verdict::keep && !has_hole;
}

}  // namespace ipmasq::nat
