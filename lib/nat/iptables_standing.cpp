#include "nat/iptables_standing.hpp"

#include <algorithm>
#include <string>
#include <variant>

namespace ipmasq::nat::iptables {

namespace {

enum class Matches { no, maybe, yes };

Matches matches(const Rule& rule, const net::Address& source, const net::Address& destination) {
  const bool is_marked = rule.mark && rule.mark->value != 0;
  if (is_marked || rule.to_local || rule.redirected) return Matches::no;
  if (rule.source && !rule.source->contains(source)) return Matches::no;
  if (rule.destination && !rule.destination->contains(destination)) return Matches::no;
  return rule.protocol || rule.probability || !rule.other_matches.empty() ? Matches::maybe : Matches::yes;
}

bool has_no_target(const Rule& rule) {
  const auto* const other = std::get_if<OtherTarget>(&rule.target);
  return other != nullptr && other->name.empty();
}

// nullopt for a target that is none of a network's chain.
std::optional<Fate> fate_of(const Target& target) {
  if (std::holds_alternative<SourceNat>(target)) return Fate::masqueraded;
  if (std::holds_alternative<Accept>(target) || std::holds_alternative<Return>(target)) return Fate::kept;
  return std::nullopt;
}

// The rule of the main chain that leads to a network's chain.
const Rule* leading_rule(const std::vector<ObservedRule>& main, const net::Address& source,
                         const net::Address& destination) {
  for (const auto& [rule, packets, bytes] : main) {
    const auto match = matches(rule, source, destination);
    if (match == Matches::no || has_no_target(rule)) continue;
    return match == Matches::yes && source_of(rule, source.family) ? &rule : nullptr;
  }
  return nullptr;
}

}  // namespace

std::optional<Standing> standing(const ObservedTable& observed, const net::Address& source,
                                 const net::Address& destination) {
  const std::string main_name(main_chain);
  const auto main = observed.chains.find(main_name);
  if (observed.hooks.empty() || main == observed.chains.end() || source.family != destination.family)
    return std::nullopt;
  const auto* const leads = leading_rule(main->second, source, destination);
  if (leads == nullptr) return std::nullopt;
  const auto& name = std::get<Goto>(leads->target).chain;
  const auto chain = observed.chains.find(name);
  if (chain == observed.chains.end()) return std::nullopt;

  Standing decided{Fate::left_alone, to_text(main_name, *leads)};
  std::vector<Fate> possible;
  for (const auto& [rule, packets, bytes] : chain->second) {
    const auto match = matches(rule, source, destination);
    if (match == Matches::no || has_no_target(rule)) continue;
    const auto fate = fate_of(rule.target);
    if (!fate) return std::nullopt;
    if (match == Matches::yes) {
      decided = {*fate, to_text(name, rule)};
      break;
    }
    possible.push_back(*fate);
  }
  const bool is_sure = std::ranges::all_of(possible, [&](Fate fate) { return fate == decided.fate; });
  return is_sure ? std::optional(decided) : std::nullopt;
}

std::vector<Source> sources(const ObservedTable& observed, net::Family family) {
  std::vector<Source> all;
  const auto main = observed.chains.find(std::string(main_chain));
  if (main == observed.chains.end()) return all;
  for (const auto& each : main->second) {
    if (auto source = source_of(each.rule, family)) all.push_back(*std::move(source));
  }
  std::ranges::sort(all, comes_first);
  return all;
}

}  // namespace ipmasq::nat::iptables
