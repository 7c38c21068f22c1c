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

}  // namespace ipmasq::nat
