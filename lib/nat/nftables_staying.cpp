#include "nat/nftables_staying.hpp"

#include <algorithm>
#include <utility>

namespace ipmasq::nat::nftables {

namespace {

// Whether a rule or element is about a source that is gone from the chain; a subnet that single addresses
// stand in goes with the last of them.
bool is_of_another(const Rule& rule, const std::set<net::Prefix>& sources) {
  const bool is_hairpin = (rule.redirected || rule.not_sent_to) && rule.destination;
  return is_hairpin && std::ranges::none_of(sources, [&rule](const auto& each) {
           return each == *rule.destination ||
                  (each.is_host() && (rule.destination->contains(each) || stands_in(each.address)));
         });
}

// Whether the set stays: not where nothing of it is left.
bool keep_set(const std::string& name, const ObservedTable& observed, const std::set<net::Prefix>& sources,
              Table& table) {
  const auto found = observed.sets.find(name);
  if (found == observed.sets.end() || !found->second.trouble.empty()) return false;
  auto set = found->second.set;
  if (set.kind == SetKind::selves) {
    std::erase_if(set.elements, [&sources](const auto& element) {
      return !sources.contains({element.range.first, net::bits(element.range.first.family)});
    });
    if (set.elements.empty()) return false;
  }
  table.sets[name] = std::move(set);
  return true;
}

}  // namespace

DecidedSources decided_sources(const Ruleset& ruleset) {
  DecidedSources decided;
  for (const auto& source : ruleset.sources) decided[source.network].insert(source.prefix);
  for (const auto& source : ruleset.gone) decided[source.network].insert(source.prefix);
  return decided;
}

std::vector<net::Prefix> parts_without(const net::Prefix& whole, const DecidedSources& decided,
                                       const std::string& network) {
  const auto found = decided.find(network);
  if (found == decided.end()) return {whole};
  std::vector<net::Prefix> parts;
  std::vector<net::Prefix> left{whole};
  while (!left.empty()) {
    const auto part = left.back();
    left.pop_back();
    const auto holds_part = [&part](const net::Prefix& each) { return each.contains(part); };
    const auto is_in_part = [&part](const net::Prefix& each) { return part.contains(each); };
    if (std::ranges::any_of(found->second, holds_part)) continue;
    if (std::ranges::none_of(found->second, is_in_part)) {
      parts.push_back(part);
      continue;
    }
    const net::Prefix first{part.address, part.length + 1};
    left.push_back(first);
    if (const auto behind = net::next(net::range_of(first).last)) left.push_back({*behind, first.length});
  }
  return parts;
}

void keep_chain(const std::string& name, const std::string& owner, const ObservedTable& observed,
                const std::set<net::Prefix>& sources, Table& table) {
  auto rules = rules_of(observed.chains.at(name));
  std::erase_if(rules, [&](const Rule& rule) {
    if (is_of_another(rule, sources) || std::holds_alternative<Dispatch>(rule.statement)) return true;
    const auto sets = sets_of(rule);
    return !std::ranges::all_of(sets,
                                [&](const auto& set) { return keep_set(set, observed, sources, table); });
  });
  for (const auto& list : {kept_set(owner), masqueraded_set(owner)}) keep_set(list, observed, sources, table);
  table.chains[name] = {.rules = std::move(rules)};
}

}  // namespace ipmasq::nat::nftables
