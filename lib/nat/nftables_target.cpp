#include "nat/nftables_target.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nat/nftables_drops.hpp"
#include "nat/nftables_staying.hpp"

namespace ipmasq::nat::nftables {

namespace {

using ChainKey = std::pair<Owner, net::Family>;  // whose

std::vector<Source> sources_of(const std::vector<Lead>& leads) {
  std::vector<Source> sources;
  sources.reserve(leads.size());
  for (const auto& lead : leads) sources.push_back(lead.source);
  return sources;
}

// All that leads somewhere in the table to come, and where.
class Leads {
 public:
  Leads(const ObservedTable& observed, const Ruleset& ruleset) {
    for (const auto& chain : ruleset.chains) wanted_.insert({chain.owner(), chain.family});
    const auto standing = leads_of(observed);
    const auto wanted = wanted_sources(sources_of(standing), ruleset);
    for (const auto& source : wanted) {
      if (has_wanted_chain(source)) by_source_[source] = wanted_chain(source);
    }
    const Staying staying(ruleset, wanted);
    const auto decided = decided_sources(ruleset);
    for (const auto& lead : standing) {
      if (!staying.stays(lead.source)) continue;
      std::vector<net::Prefix> parts{lead.source.prefix};
      if (lead.is_guessed) parts = parts_without(lead.source.prefix, decided, lead.source.network);
      for (const auto& part : parts) {
        const Source source{part, lead.source.network, lead.source.policy};
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
  static ChainKey key_of(const Source& source) { return {source.owner(), source.prefix.family()}; }
  static std::string wanted_chain(const Source& source) {
    return chain_name(source.owner(), source.prefix.family());
  }
  bool has_wanted_chain(const Source& source) const { return wanted_.contains(key_of(source)); }

  std::set<ChainKey> wanted_;
  std::map<Source, std::string> by_source_;
};

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

// What translates, which `leads` lead to.
Table translating(const ObservedTable& observed, const Ruleset& ruleset, const Leads& leads) {
  Table table;
  if (leads.empty()) return table;
  for (const auto& [name, sources] : leads.of_other_chains())
    keep_chain(name, name, observed, sources, table);
  const auto sources = leads.of_wanted_chains();
  for (const auto& chain : ruleset.chains) {
    const auto found = sources.find({chain.owner(), chain.family});
    if (found != sources.end()) add_chain(chain, found->second, table);
  }
  const auto all = leads.all();
  const bool others_stay =
      std::ranges::any_of(all, [&ruleset](const Lead& lead) { return is_undecided(lead, ruleset); });
  add_base_chain(yield_marks(observed, ruleset, others_stay), all, table);
  return table;
}

}  // namespace

Table target(const ObservedTable& observed, const Ruleset& ruleset) {
  const Leads leads(observed, ruleset);
  auto table = translating(observed, ruleset, leads);
  add_drops(observed, ruleset, sources_of(leads.all()), table);
  return table;
}

Table target_of_drops(const ObservedTable& observed, const Ruleset& ruleset, std::vector<Source> sources) {
  const Ruleset nothing;
  const Leads leads(observed, nothing);
  auto table = translating(observed, nothing, leads);
  std::ranges::move(sources_of(leads.all()), std::back_inserter(sources));
  add_drops(observed, ruleset, sources, table);
  return table;
}

}  // namespace ipmasq::nat::nftables
