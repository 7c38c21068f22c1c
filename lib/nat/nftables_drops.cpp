#include "nat/nftables_drops.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>
#include <variant>

#include "nat/nftables_staying.hpp"
#include "net/prefixes.hpp"

namespace ipmasq::nat::nftables {

namespace {

using net::Family;

constexpr std::string_view ending = "-invalid";
constexpr std::string_view map_beginning = "invalid-";
constexpr std::array both_families{Family::ipv4, Family::ipv6};

// Where a network drops nothing its chain is there for its pods to meet no wider network's.
std::vector<Rule> drop_rules(const NetworkChain& chain, Table& table) {
  const auto name = chain_name(chain.owner(), chain.family);
  if (chain.drops_invalid && chain.catch_all) {
    std::vector<Rule> rules;
    if (const auto kept = add_destinations(kept_set(name), Verdict::keep, chain, table))
      rules.push_back({.destination_in = kept, .statement = Return{}});
    rules.push_back({.statement = Drop{}});
    return rules;
  }
  if (chain.drops_invalid) {
    const auto holes = add_destinations(masqueraded_set(name), Verdict::masquerade, chain, table);
    if (holes) return {{.destination_in = holes, .statement = Drop{}}};
  }
  return {{.statement = Return{}}};
}

bool drops_any(const std::pair<const std::string, Chain>& chain) {
  return std::ranges::any_of(chain.second.rules,
                             [](const Rule& rule) { return std::holds_alternative<Drop>(rule.statement); });
}

// Of the pods whose packets a chain drops.
std::string translating_chain(const std::string& drop_chain) {
  return drop_chain.substr(0, drop_chain.size() - ending.size());
}

// Whether all that its rules ask is there: without what it keeps it would drop too much.
bool is_whole(const ObservedTable& observed, const std::string& name) {
  const auto chain = observed.chains.find(name);
  if (chain == observed.chains.end() || chain->second.is_base) return false;
  return std::ranges::all_of(chain->second.rules, [&observed](const ObservedRule& each) {
    return std::ranges::all_of(sets_of(each.rule), [&observed](const std::string& set) {
      const auto found = observed.sets.find(set);
      return found != observed.sets.end() && found->second.trouble.empty();
    });
  });
}

std::set<Family> families_with_unread_pods(const ObservedTable& observed) {
  std::set<Family> families;
  for (const auto& [name, each] : observed.sets) {
    if (each.has_more && leads_to_drop_chains(name)) families.insert(each.set.family);
  }
  return families;
}

// All that leads to a chain that drops, or that lets pass, in the table to come.
class DropLeads {
 public:
  DropLeads(const ObservedTable& observed, const Ruleset& ruleset, const std::vector<Source>& sources)
      : observed_(observed), ruleset_(ruleset) {
    for (const auto& chain : ruleset.chains) {
      if (is_decided(chain.network)) wanted_.insert(drop_chain_name(chain.owner(), chain.family));
    }
    for (const auto& source : sources) add(source);
    for (const auto& source : others(sources)) add(source);
    const auto unread = families_with_unread_pods(observed);
    for (const auto& [name, chain] : observed.chains) {
      const auto whose = whose_drop_chain(name);
      if (whose && unread.contains(whose->second))
        add({net::host_prefix({whose->second, {}}), whose->first.network, whose->first.policy});
    }
  }

  std::vector<Lead> all() const {
    std::vector<Lead> leads;
    for (const auto& [source, chain] : by_source_) leads.push_back({source, chain});
    return leads;
  }

  /// Else it stays as it was observed, or lets all pass.
  bool is_wanted(const std::string& chain) const { return wanted_.contains(chain); }
  bool lets_all_pass(const std::string& chain) const { return passing_.contains(chain); }

 private:
  bool is_decided(const std::string& network) const {
    return ruleset_.networks.contains(network) && !ruleset_.elsewhere.contains(network);
  }

  // Of whom nothing is dropped now, nothing is to be dropped by another's chain.
  void add(const Source& source) {
    by_source_.try_emplace(by_source_.end(), source, chain_of(source));  // they come in order, mostly
  }

  const std::string& chain_of(const Source& source) {
    const auto [found, is_new] = chains_.try_emplace({source.owner(), source.prefix.family()});
    auto& chain = found->second;
    if (!is_new) return chain;
    chain = drop_chain_name(source.owner(), source.prefix.family());
    if (!is_wanted(chain) && !is_whole(observed_, chain)) passing_.insert(chain);
    return chain;
  }

  // What leads there of networks that nothing else is known of.
  std::vector<Source> others(const std::vector<Source>& sources) const {
    auto known = decided_sources(ruleset_);
    for (const auto& source : sources) known[source.network].insert(source.prefix);
    std::vector<Source> found;
    for (const auto& source : drop_sources(observed_)) {
      if (is_decided(source.network) || by_source_.contains(source) || stands_in(source.prefix.address))
        continue;
      for (const auto& part : parts_without(source.prefix, known, source.network))
        found.push_back({part, source.network, source.policy});
    }
    return found;
  }

  const ObservedTable& observed_;  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members)
  const Ruleset& ruleset_;         // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members)
  std::set<std::string> wanted_;
  std::set<std::string> passing_;
  std::map<std::pair<Owner, Family>, std::string> chains_;  // names, each made once
  std::map<Source, std::string> by_source_;
};

}  // namespace

std::string drop_chain_name(const Owner& owner, Family family) {
  return chain_name(owner, family) + std::string(ending);
}

std::optional<std::pair<Owner, Family>> whose_drop_chain(const std::string& name) {
  if (!name.ends_with(ending)) return std::nullopt;
  const auto owner = owner_of_chain(translating_chain(name));
  if (!owner) return std::nullopt;
  for (const auto family : both_families) {
    if (drop_chain_name(*owner, family) == name) return std::pair(*owner, family);
  }
  return std::nullopt;
}

bool is_for_drops(const std::string& chain) {
  return chain == forward_chain || whose_drop_chain(chain);
}

bool leads_to_drop_chains(const std::string& map) {
  return map.starts_with(map_beginning);
}

void add_drops(const ObservedTable& observed, const Ruleset& ruleset, const std::vector<Source>& sources,
               Table& table) {
  const DropLeads leads(observed, ruleset, sources);
  const auto all = leads.all();
  std::set<std::string> led_to;
  for (const auto& lead : all) led_to.insert(lead.chain);
  Table drops;
  for (const auto& name : led_to) {
    if (leads.lets_all_pass(name)) {
      drops.chains[name] = {.rules = {{.statement = Return{}}}};
    } else if (!leads.is_wanted(name)) {
      keep_chain(name, translating_chain(name), observed, {}, drops);
    }
  }
  for (const auto& chain : ruleset.chains) {
    const auto name = drop_chain_name(chain.owner(), chain.family);
    if (leads.is_wanted(name) && led_to.contains(name))
      drops.chains[name] = {.rules = drop_rules(chain, drops)};
  }
  if (std::ranges::none_of(drops.chains, drops_any)) return;
  drops.chains[std::string(forward_chain)].is_base = true;
  add_maps(std::string(map_beginning), all, forward_chain, {.is_invalid = true}, drops);
  for (auto& [name, chain] : drops.chains) table.chains[name] = std::move(chain);
  for (auto& [name, set] : drops.sets) table.sets[name] = std::move(set);
}

std::vector<Source> drop_sources(const ObservedTable& observed) {
  std::vector<Source> sources;
  for (const auto& [name, each] : observed.sets) {
    if (!each.trouble.empty() || !is_map(each.set.kind) || !leads_to_drop_chains(name)) continue;
    for (const auto& element : each.set.elements) {
      const auto whose = whose_drop_chain(element.value);
      if (!whose || whose->second != each.set.family) continue;
      for (const auto& prefix : net::prefixes_of(element.range))
        sources.push_back({prefix, whose->first.network, whose->first.policy});
    }
  }
  return sources;
}

bool has_drops_alone(const ObservedTable& observed) {
  if (!observed.exists || observed.chains.empty()) return false;
  return std::ranges::all_of(observed.chains, [](const auto& chain) { return is_for_drops(chain.first); });
}

}  // namespace ipmasq::nat::nftables
