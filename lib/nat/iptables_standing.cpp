#include "nat/iptables_standing.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace ipmasq::nat::iptables {

namespace {

enum class Matches { no, maybe, yes };

Matches matches(const Rule& rule, const net::Address& source, const net::Address& destination) {
  const bool is_marked = rule.mark && rule.mark->value != 0;
  if (is_marked || rule.to_local || rule.redirected) return Matches::no;
  if (rule.source && !rule.source->contains(source)) return Matches::no;
  if (rule.destination && !rule.destination->contains(destination)) return Matches::no;
  return rule.out_interface || rule.protocol || rule.probability || !rule.other_matches.empty()
             ? Matches::maybe
             : Matches::yes;
}

bool has_no_target(const Rule& rule) {
  const auto* const other = std::get_if<OtherTarget>(&rule.target);
  return other != nullptr && other->name.empty();
}

// nullopt for a target that is none of a network's chain.
std::optional<Fate> fate_of(const Target& target) {
  if (std::holds_alternative<SourceNat>(target)) return Fate::masqueraded;
  if (std::holds_alternative<Accept>(target)) return Fate::kept;
  if (std::holds_alternative<Return>(target)) return Fate::left_alone;
  return std::nullopt;
}

Standing uncertain(std::string_view chain, const Rule& rule) {
  return {Fate::left_alone, to_text(std::string(chain), rule), false};
}

// Of the network's chain that the main chain's rule `leads` to.
Standing standing_in(const std::string& name, const std::vector<ObservedRule>& chain, const Rule& leads,
                     const net::Address& source, const net::Address& destination) {
  Standing decided{Fate::left_alone, to_text(std::string(main_chain), leads)};
  std::vector<std::pair<Fate, const Rule*>> possible;
  std::vector<GivenSource> sources;
  for (const auto& [rule, packets, bytes] : chain) {
    const auto match = matches(rule, source, destination);
    if (match == Matches::no || has_no_target(rule)) continue;
    const auto fate = fate_of(rule.target);
    if (!fate) return uncertain(name, rule);
    if (const auto* const nat = std::get_if<SourceNat>(&rule.target))
      sources.push_back({rule.out_interface, nat->to});
    if (match == Matches::yes) {
      decided = {*fate, to_text(name, rule)};
      break;
    }
    possible.emplace_back(*fate, &rule);
  }
  const auto other =
      std::ranges::find_if(possible, [&](const auto& each) { return each.first != decided.fate; });
  if (other != possible.end()) return uncertain(name, *other->second);
  decided.sources = std::move(sources);
  return decided;
}

}  // namespace

std::optional<Standing> standing(const ObservedTable& observed, const net::Address& source,
                                 const net::Address& destination) {
  const std::string main_name(main_chain);
  const auto main = observed.chains.find(main_name);
  if (observed.hooks.empty() || main == observed.chains.end() || source.family != destination.family)
    return std::nullopt;
  for (const auto& [rule, packets, bytes] : main->second) {
    const auto match = matches(rule, source, destination);
    if (match == Matches::no || has_no_target(rule)) continue;
    if (match == Matches::maybe || !source_of(rule, source.family)) return uncertain(main_chain, rule);
    const auto& name = std::get<Goto>(rule.target).chain;
    const auto chain = observed.chains.find(name);
    if (chain == observed.chains.end()) return uncertain(main_chain, rule);
    return standing_in(name, chain->second, rule, source, destination);
  }
  return std::nullopt;
}

std::vector<Source> sources(const ObservedTable& observed, net::Family family) {
  std::vector<Source> all;
  const auto main = observed.chains.find(std::string(main_chain));
  if (main == observed.chains.end()) return all;
  for (const auto& each : main->second) {
    if (auto source = source_of(each.rule, family)) all.push_back(*std::move(source));
  }
  if (!std::ranges::is_sorted(all, comes_first)) std::ranges::sort(all, comes_first);
  return all;
}

}  // namespace ipmasq::nat::iptables
