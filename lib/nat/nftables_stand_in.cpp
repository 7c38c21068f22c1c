#include "nat/nftables_stand_in.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "nat/nftables_drops.hpp"

namespace ipmasq::nat::nftables {

namespace {

using Element = Interval<std::string>;

Element stand_in(net::Family family, std::string chain) {
  const net::Address no_pods{family, {}};
  return {{no_pods, no_pods}, std::move(chain)};
}

using FirstChains = std::map<net::Family, std::pair<Owner, std::string>>;  // whose, chain

FirstChains first_that_drop(const ObservedTable& observed) {
  FirstChains first;
  for (const auto& [name, chain] : observed.chains) {
    const auto whose = whose_drop_chain(name);
    if (!whose) continue;
    const auto& decides = first.try_emplace(whose->second, whose->first, name).first->second;
    if (whose->first < decides.first) first[whose->second] = {whose->first, name};
  }
  return first;
}

template <typename Elements>
bool are_about(const Elements& edit, const std::set<net::Address>& addresses) {
  return !has_ranges(edit.kind) && std::ranges::all_of(edit.elements, [&addresses](const Element& element) {
    return addresses.contains(element.range.first);
  });
}

void erase(const std::vector<Element>& elements, std::vector<Element>& from) {
  std::erase_if(
      from, [&elements](const Element& each) { return std::ranges::find(elements, each) != elements.end(); });
}

}  // namespace

std::set<net::Address> addresses_of(const Ruleset& ruleset) {
  auto addresses = ruleset.pods;
  const auto add = [&addresses](const Source& source) {
    if (source.prefix.is_host()) addresses.insert(source.prefix.address);
  };
  std::ranges::for_each(ruleset.sources, add);
  std::ranges::for_each(ruleset.gone, add);
  return addresses;
}

bool leaves_others_alone(const Ruleset& ruleset) {
  return !ruleset.has_all_sources && !ruleset.has_all_marks;
}

void add_stand_ins(ObservedTable& observed) {
  // Of networks with the same source the first one decides.
  FirstChains first;
  for (const auto& [name, chain] : observed.chains) {
    const auto owner = owner_of_chain(name);
    const auto selves = observed.sets.find(self_set(name));
    if (!owner || selves == observed.sets.end() || !selves->second.has_more) continue;
    auto& set = selves->second.set;
    set.elements.insert(set.elements.begin(), stand_in(set.family, ""));
    const auto& decides = first.try_emplace(set.family, *owner, name).first->second;
    if (*owner < decides.first) first[set.family] = {*owner, name};
  }
  const auto first_dropping = first_that_drop(observed);
  for (auto& [name, each] : observed.sets) {
    if (!is_map(each.set.kind) || !each.has_more) continue;
    const auto& of_map = leads_to_drop_chains(name) ? first_dropping : first;
    const auto lead = of_map.find(each.set.family);
    if (lead == of_map.end()) continue;
    each.set.elements.insert(each.set.elements.begin(), stand_in(each.set.family, lead->second.second));
  }
}

bool are_about(const std::vector<Edit>& edits, const std::set<net::Address>& addresses) {
  return std::ranges::all_of(edits, [&addresses](const Edit& edit) {
    if (const auto* const added = std::get_if<AddElements>(&edit)) return are_about(*added, addresses);
    if (const auto* const deleted = std::get_if<DeleteElements>(&edit)) return are_about(*deleted, addresses);
    return false;
  });
}

Table taken_back(const ObservedTable& now, const std::vector<Edit>& edits) {
  auto table = as_table(now);
  for (const auto& edit : edits) {
    if (const auto* const added = std::get_if<AddElements>(&edit)) {
      const auto set = table.sets.find(added->set);
      if (set != table.sets.end()) erase(added->elements, set->second.elements);
    }
  }
  for (const auto& edit : edits) {
    const auto* const deleted = std::get_if<DeleteElements>(&edit);
    const auto set = deleted == nullptr ? table.sets.end() : table.sets.find(deleted->set);
    if (set == table.sets.end()) continue;
    for (const auto& element : deleted->elements) {
      if (element.value.empty() || table.chains.contains(element.value))
        set->second.elements.push_back(element);
    }
    std::ranges::sort(set->second.elements);
  }
  return table;
}

}  // namespace ipmasq::nat::nftables
