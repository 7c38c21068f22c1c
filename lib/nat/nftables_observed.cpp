#include "nat/nftables_observed.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "net/prefixes.hpp"

namespace ipmasq::nat::nftables {

namespace {

using net::Family;
using net::Prefix;
using net::Range;
using Elements = std::vector<Interval<std::string>>;

const ObservedSet* set_of(const ObservedTable& observed, const std::string& name) {
  const auto found = observed.sets.find(name);
  return found == observed.sets.end() || !found->second.trouble.empty() ? nullptr : &found->second;
}

// The source that a hairpin rule is about. Those of version 0.1.0 name the destination only.
std::optional<Prefix> hairpin_of(const Rule& rule) {
  const bool is_hairpin = rule.redirected || rule.not_sent_to;
  if (!is_hairpin || !rule.destination || (rule.source && rule.source != rule.destination))
    return std::nullopt;
  return rule.destination;
}

// What of `range` none of `covered` (disjoint, by rising address) holds.
std::vector<Range> rest_of(Range range, const Elements& covered) {
  std::vector<Range> rest;
  auto each = std::ranges::lower_bound(covered, range.first, {},
                                       [](const auto& interval) { return interval.range.last; });
  for (; each != covered.end() && each->range.first <= range.last; ++each) {
    if (range.first < each->range.first) rest.push_back({range.first, *net::previous(each->range.first)});
    const auto behind = net::next(each->range.last);
    if (!behind || range.last < *behind) return rest;
    range.first = *behind;
  }
  rest.push_back(range);
  return rest;
}

// What leads to a chain by the maps though its own rules do not say so.
class MapLeads {
 public:
  explicit MapLeads(const ObservedTable& observed) {
    for (const auto& [name, observed_set] : observed.sets) {
      if (!observed_set.trouble.empty() || !is_map(observed_set.set.kind)) continue;
      const bool has_subnets = observed_set.set.kind == SetKind::chain_of_range;
      for (const auto& element : observed_set.set.elements) {
        by_chain_[element.value].push_back(element.range);
        (has_subnets ? subnets_by_chain_ : addresses_by_chain_)[element.value].push_back(element.range);
      }
    }
  }

  // Whether a part of the pod subnet does that none of `within` holds, single addresses aside.
  bool leads_subnet(const Prefix& subnet, const std::string& chain, const std::set<Prefix>& within) const {
    const auto found = subnets_by_chain_.find(chain);
    if (found == subnets_by_chain_.end()) return false;
    std::vector<std::pair<Prefix, std::string>> narrower;
    for (const auto& each : within) {
      if (each != subnet && subnet.contains(each)) narrower.emplace_back(each, "");
    }
    const auto covered = flatten(std::move(narrower));
    const auto whole = net::range_of(subnet);
    return std::ranges::any_of(found->second, [&](const Range& each) {
      if (each.last < whole.first || whole.last < each.first) return false;
      return !rest_of({std::max(each.first, whole.first), std::min(each.last, whole.last)}, covered).empty();
    });
  }

  bool leads_address_of(const Prefix& subnet, const std::string& chain) const {
    const auto found = addresses_by_chain_.find(chain);
    return found != addresses_by_chain_.end() &&
           std::ranges::any_of(found->second,
                               [&subnet](const Range& each) { return subnet.contains(each.first); });
  }

  // Beyond its `sources`.
  std::set<Prefix> towards(const std::string& chain, const std::set<Prefix>& sources) const {
    std::set<Prefix> beyond;
    const auto found = by_chain_.find(chain);
    if (found == by_chain_.end()) return beyond;
    std::map<Family, std::vector<std::pair<Prefix, std::string>>> known;
    for (const auto& each : sources) known[each.family()].emplace_back(each, "");
    std::map<Family, Elements> covered;
    for (auto& [family, prefixes] : known) covered[family] = flatten(std::move(prefixes));
    for (const auto& range : found->second) {
      for (const auto& rest : rest_of(range, covered[range.first.family]))
        beyond.merge(net::prefixes_of(rest));
    }
    return beyond;
  }

 private:
  std::map<std::string, std::vector<Range>> by_chain_;
  std::map<std::string, std::vector<Range>> subnets_by_chain_;
  std::map<std::string, std::vector<Range>> addresses_by_chain_;
};

std::set<Prefix> sources_in_chain(const ObservedTable& observed, const std::string& name,
                                  const MapLeads& by_maps) {
  std::set<Prefix> subnets;
  for (const auto& each : observed.chains.at(name).rules) {
    if (const auto source = hairpin_of(each.rule)) subnets.insert(*source);
  }
  std::set<Prefix> hosts;
  bool may_be_more = false;
  if (const auto* const selves = set_of(observed, self_set(name))) {
    may_be_more = selves->has_more || selves->set.elements.empty();  // it stands for some only
    for (const auto& element : selves->set.elements)
      hosts.insert({element.range.first, net::bits(selves->set.family)});
  }
  // Another network's, of which single addresses lead here, has hairpin rules as well.
  auto sources = hosts;
  for (const auto& subnet : subnets) {
    const auto holds = [&subnet](const auto& host) { return subnet.contains(host); };
    const bool may_be_shared =
        may_be_more || std::ranges::any_of(hosts, holds) || by_maps.leads_address_of(subnet, name);
    if (!may_be_shared || by_maps.leads_subnet(subnet, name, subnets)) sources.insert(subnet);
  }
  return sources;
}

// Of what a map has for an address: an element, or (null) something that is none of ours.
Source source_of(const Interval<std::string>* element, SetKind kind, const net::Address& pod,
                 const std::vector<Lead>& leads) {
  Source source{net::host_prefix(pod), ""};
  unsigned longest = 0;
  for (const auto& [each, chain, is_guessed] : leads) {
    if (element == nullptr || chain != element->value || !each.prefix.contains(pod)) continue;
    source.network = each.network;
    source.policy = each.policy;
    const bool is_subnet = each.prefix.length < net::bits(pod.family);
    if (kind == SetKind::chain_of_address || !is_subnet || each.prefix.length < longest) continue;
    longest = each.prefix.length;
    source.prefix = each.prefix;
  }
  return source;
}

}  // namespace

bool stands_in(const net::Address& address) {
  return address.is_unspecified();
}

std::vector<Rule> rules_of(const ObservedChain& chain) {
  std::vector<Rule> rules;
  rules.reserve(chain.rules.size());
  for (const auto& observed : chain.rules) rules.push_back(observed.rule);
  return rules;
}

Table as_table(const ObservedTable& observed) {
  Table table;
  for (const auto& [name, chain] : observed.chains) table.chains[name] = {chain.is_base, rules_of(chain)};
  for (const auto& [name, set] : observed.sets) {
    if (!set.trouble.empty()) continue;
    auto& elements = (table.sets[name] = set.set).elements;
    std::erase_if(elements, [&table](const auto& element) {
      return !element.value.empty() && !table.chains.contains(element.value);
    });
  }
  const auto is_made = [&table](const std::string& set) { return table.sets.contains(set); };
  for (auto& [name, chain] : table.chains) {
    std::erase_if(chain.rules,
                  [&](const Rule& rule) { return !std::ranges::all_of(sets_of(rule), is_made); });
  }
  return table;
}

std::vector<Lead> leads_of(const ObservedTable& observed) {
  const MapLeads by_maps(observed);
  std::vector<Lead> leads;
  for (const auto& [name, chain] : observed.chains) {
    const auto owner = owner_of_chain(name);
    if (!owner || chain.is_base) continue;
    const auto sources = sources_in_chain(observed, name, by_maps);
    for (const auto& each : sources) leads.push_back({{each, owner->network, owner->policy}, name});
    for (const auto& each : by_maps.towards(name, sources))
      leads.push_back({{each, owner->network, owner->policy}, name, true});
  }
  std::ranges::sort(leads);
  const auto is_again = [](const Lead& left, const Lead& right) { return left.source == right.source; };
  leads.erase(std::unique(leads.begin(), leads.end(), is_again), leads.end());
  return leads;
}

const Interval<std::string>* element_of(const Set& set, const net::Address& address) {
  const auto found = std::ranges::lower_bound(set.elements, address, {},
                                              [](const auto& element) { return element.range.last; });
  return found == set.elements.end() || address < found->range.first ? nullptr : &*found;
}

std::vector<Source> met_by(const ObservedTable& observed, const net::Address& pod) {
  std::vector<Source> met;
  const auto base = observed.chains.find(std::string(base_chain));
  if (base == observed.chains.end()) return met;
  const auto leads = leads_of(observed);
  for (const auto& each : base->second.rules) {
    const auto* const dispatch = std::get_if<Dispatch>(&each.rule.statement);
    if (dispatch == nullptr || dispatch->family != pod.family) continue;
    const auto map = observed.sets.find(dispatch->map);
    if (map == observed.sets.end()) continue;
    const auto* const element = element_of(map->second.set, pod);
    if (element == nullptr && map->second.trouble.empty()) continue;
    met.push_back(source_of(element, map->second.set.kind, pod, leads));
  }
  return met;
}

}  // namespace ipmasq::nat::nftables
