#include "nat/nftables_target.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ipmasq::nat::nftables {

namespace {

using ChainKey = std::pair<std::string, net::Family>;  // whose: network and family

// Those of which the ruleset says that they stay or go, by network.
std::map<std::string, std::set<net::Prefix>> decided_sources(const Ruleset& ruleset) {
  std::map<std::string, std::set<net::Prefix>> decided;
  for (const auto& source : ruleset.sources) decided[source.network].insert(source.prefix);
  for (const auto& source : ruleset.gone) decided[source.network].insert(source.prefix);
  return decided;
}

// What of `whole` none of the decided sources of its network holds.
std::vector<net::Prefix> parts_without(const net::Prefix& whole,
                                       const std::map<std::string, std::set<net::Prefix>>& decided,
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

// All that leads somewhere in the table to come, and where.
class Leads {
 public:
  Leads(const ObservedTable& observed, const Ruleset& ruleset) {
    for (const auto& chain : ruleset.chains) wanted_.insert({chain.network, chain.family});
    for (const auto& source : ruleset.sources) {
      if (has_wanted_chain(source)) by_source_[source] = wanted_chain(source);
    }
    const auto decided = decided_sources(ruleset);
    for (const auto& lead : leads_of(observed)) {
      if (!stays(lead.source, ruleset)) continue;
      std::vector<net::Prefix> parts{lead.source.prefix};
      if (lead.is_guessed) parts = parts_without(lead.source.prefix, decided, lead.source.network);
      for (const auto& part : parts) {
        const Source source{part, lead.source.network};
        by_source_.try_emplace(source, has_wanted_chain(source) ? wanted_chain(source) : lead.chain);
      }
    }
  }

  bool empty() const { return by_source_.empty(); }

  std::vector<Lead> all() const {
    std::vector<Lead> leads;
    for (const auto& [source, chain] : by_source_) leads.push_back({source, chain});
    return leads;
  }

  /// The sources of each wanted chain, in the order of comes_first.
  std::map<ChainKey, std::vector<net::Prefix>> of_wanted_chains() const {
    std::map<ChainKey, std::vector<Source>> sources;
    for (const auto& [source, chain] : by_source_) {
      if (has_wanted_chain(source)) sources[key_of(source)].push_back(source);
    }
    std::map<ChainKey, std::vector<net::Prefix>> prefixes;
    for (auto& [key, each] : sources) {
      std::ranges::sort(each,
                        [](const Source& left, const Source& right) { return comes_first(left, right); });
      for (const auto& source : each) prefixes[key].push_back(source.prefix);
    }
    return prefixes;
  }

  /// The sources of each chain that stays as it was observed.
  std::map<std::string, std::set<net::Prefix>> of_other_chains() const {
    std::map<std::string, std::set<net::Prefix>> prefixes;
    for (const auto& [source, chain] : by_source_) {
      if (!has_wanted_chain(source)) prefixes[chain].insert(source.prefix);
    }
    return prefixes;
  }

 private:
  static ChainKey key_of(const Source& source) { return {source.network, source.prefix.family()}; }
  static std::string wanted_chain(const Source& source) {
    return chain_name(source.network, source.prefix.family());
  }
  static bool stays(const Source& source, const Ruleset& ruleset) {
    const bool is_decided = ruleset.networks.contains(source.network);
    return !ruleset.gone.contains(source) && !(is_decided && ruleset.has_all_sources);
  }
  bool has_wanted_chain(const Source& source) const { return wanted_.contains(key_of(source)); }

  std::set<ChainKey> wanted_;
  std::map<Source, std::string> by_source_;
};

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

// The chain as it is, with the sets that its rules ask, but for the sources that are gone. Rules that ask
// what does not stay go: they are none of ours.
void keep_chain(const std::string& name, const ObservedTable& observed, const std::set<net::Prefix>& sources,
                Table& table) {
  auto rules = rules_of(observed.chains.at(name));
  std::erase_if(rules, [&](const Rule& rule) {
    if (is_of_another(rule, sources) || std::holds_alternative<Dispatch>(rule.statement)) return true;
    const auto sets = sets_of(rule);
    return !std::ranges::all_of(sets,
                                [&](const auto& set) { return keep_set(set, observed, sources, table); });
  });
  table.chains[name] = {.rules = std::move(rules)};
}

// Those that other networks may need stay, in the order in which they stand: which comes first is all the
// same.
std::vector<config::Mark> yield_marks(const ObservedTable& observed, const Ruleset& ruleset,
                                      bool others_stay) {
  if (ruleset.has_all_marks || !others_stay) return ruleset.yield_marks;
  std::vector<config::Mark> marks;
  const auto add = [&marks](const config::Mark& mark) {
    if (std::ranges::find(marks, mark) == marks.end()) marks.push_back(mark);
  };
  const auto base = observed.chains.find(std::string(base_chain));
  if (base != observed.chains.end()) {
    for (const auto& [rule, handle, packets, bytes] : base->second.rules) {
      if (rule.mark && rule == Rule{.mark = rule.mark, .statement = Return{}}) add(*rule.mark);
    }
  }
  for (const auto& mark : ruleset.yield_marks) add(mark);
  return marks;
}

bool is_undecided(const Lead& lead, const Ruleset& ruleset) {
  return !ruleset.networks.contains(lead.source.network);
}

}  // namespace

Table target(const ObservedTable& observed, const Ruleset& ruleset) {
  Table table;
  const Leads leads(observed, ruleset);
  if (leads.empty()) return table;
  for (const auto& [name, sources] : leads.of_other_chains()) keep_chain(name, observed, sources, table);
  const auto sources = leads.of_wanted_chains();
  for (const auto& chain : ruleset.chains) {
    const auto found = sources.find({chain.network, chain.family});
    if (found != sources.end()) add_chain(chain, found->second, table);
  }
  const auto all = leads.all();
  const bool others_stay =
      std::ranges::any_of(all, [&ruleset](const Lead& lead) { return is_undecided(lead, ruleset); });
  add_base_chain(yield_marks(observed, ruleset, others_stay), all, table);
  return table;
}

}  // namespace ipmasq::nat::nftables
