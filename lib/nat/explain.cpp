#include "nat/explain.hpp"

#include <algorithm>

namespace ipmasq::nat {

std::string to_text(Fate fate) {
  switch (fate) {
    case Fate::kept:
      return "kept";
    case Fate::masqueraded:
      return "masqueraded";
    case Fate::left_alone:
      return "left alone";
  }
  return "";
}

bool Standing::gives(const std::optional<net::Range>& to, const std::optional<std::string>& interface) const {
  const bool has_its_own = interface && std::ranges::any_of(sources, [&interface](const GivenSource& each) {
                             return each.out_interface == interface;
                           });
  const auto is_met = [&](const GivenSource& each) {
    return !interface || each.out_interface == (has_its_own ? interface : std::nullopt);
  };
  const auto is_within = [&to](const GivenSource& each) {
    if (!to || !each.to) return !to && !each.to;
    return to->first <= each.to->first && each.to->last <= to->last;
  };
  return std::ranges::any_of(sources, is_met) && std::ranges::all_of(sources, [&](const GivenSource& each) {
           return !is_met(each) || is_within(each);
         });
}

Explanation explain(const Ruleset& ruleset, const net::Address& source, const net::Address& destination) {
  const auto from = std::ranges::find_if(
      ruleset.sources, [&source](const Source& each) { return each.prefix.contains(source); });
  if (from == ruleset.sources.end()) {
    return {Fate::left_alone, "no pod subnet of a recorded network holds " + net::to_text(source)};
  }
  const auto chain = std::ranges::find_if(ruleset.chains, [&](const NetworkChain& each) {
    return each.owner() == from->owner() && each.family == source.family;
  });
  if (chain == ruleset.chains.end()) {
    return {Fate::left_alone, "nothing is known of network " + from->network, *from};
  }
  const auto decides = std::ranges::find_if(chain->destinations, [&destination](const Destination& each) {
    return each.prefix.contains(destination);
  });
  if (decides != chain->destinations.end()) {
    const auto fate = decides->verdict == Verdict::keep ? Fate::kept : Fate::masqueraded;
    return {fate, decides->origin.text(), *from, *chain, decides->prefix};
  }
  return {chain->catch_all ? Fate::masqueraded : Fate::left_alone, chain->catch_all_by.text(), *from, *chain};
}

bool keeps_all(const NetworkChain& chain, const net::Prefix& network) {
  const auto& destinations = chain.destinations;
  const auto decides = std::ranges::find_if(
      destinations, [&network](const Destination& each) { return each.prefix.contains(network); });
  const bool has_hole = std::ranges::any_of(destinations, [&network](const Destination& each) {
    return each.verdict == Verdict::masquerade && network.contains(each.prefix);
  });
  return decides != destinations.end() && decides->verdict == Verdict::keep && !has_hole;
}

}  // namespace ipmasq::nat
