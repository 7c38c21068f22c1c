#include "netfilter/nftables_drops_beside.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "nat/nftables_drops.hpp"
#include "nat/nftables_observed.hpp"
#include "nat/nftables_stand_in.hpp"
#include "nat/nftables_staying.hpp"
#include "nat/nftables_target.hpp"
#include "netfilter/nftables_change.hpp"
#include "netfilter/nftables_table.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::nftables::ObservedTable;
using nat::nftables::Table;

// What cannot be had here, as against what went wrong.
bool is_lacking(const Error& error) {
  return error.kind() == Kind::absent || error.kind() == Kind::refused;
}

std::vector<nat::Source> read_of(std::vector<nat::Source> sources, const std::set<net::Address>& only) {
  std::erase_if(sources, [&only](const nat::Source& each) {
    return each.prefix.is_host() && !only.contains(each.prefix.address);
  });
  return sources;
}

// That are of networks which `wanted` decides.
std::vector<nat::Source> decided(std::vector<nat::Source> sources, const nat::Ruleset& wanted) {
  std::erase_if(sources,
                [&wanted](const nat::Source& each) { return !wanted.networks.contains(each.network); });
  return sources;
}

Table table_for(const ObservedTable& observed, const nat::Ruleset& wanted,
                const std::vector<nat::Source>& sources, const std::set<net::Address>* only) {
  return nat::nftables::target_of_drops(observed, wanted,
                                        only == nullptr ? sources : read_of(sources, *only));
}

// Whether a few elements may be all that has to change. A chain that is left by its last address shows in the
// whole table alone.
bool may_be_few(const nat::Ruleset& wanted) {
  return nat::nftables::leaves_others_alone(wanted) && wanted.gone.empty();
}

std::vector<nat::nftables::Edit> edits_for(const nat::Ruleset& wanted,
                                           const std::vector<nat::Source>& sources) {
  if (may_be_few(wanted)) {
    const auto only = nat::nftables::addresses_of(wanted);
    const auto observed = read_nftables_table(only);
    auto edits = nat::nftables::difference(observed, table_for(observed, wanted, sources, &only));
    if (nat::nftables::are_about(edits, only)) return edits;
  }
  const auto observed = read_nftables_table();
  return nat::nftables::difference(observed, table_for(observed, wanted, sources, nullptr));
}

}  // namespace

std::vector<std::string> drop_differences(const nat::Ruleset& wanted,
                                          const std::vector<nat::Source>& sources) {
  try {
    const auto edits = edits_for(wanted, sources);
    if (edits.empty()) return {};
    check_nftables_table(nat::nftables::target_of_drops({}, wanted, decided(sources, wanted)));
    return describe(edits);
  } catch (const Error& error) {
    if (!is_lacking(error)) throw;
    return {};
  }
}

Change change_drops(const nat::Ruleset& wanted, const std::vector<nat::Source>& sources) {
  const auto only = nat::nftables::addresses_of(wanted);
  try {
    return change_nftables(
        [&](const ObservedTable& observed, const std::set<net::Address>* read) {
          return table_for(observed, wanted, sources, read);
        },
        may_be_few(wanted) ? &only : nullptr);
  } catch (const Error& error) {
    if (!is_lacking(error)) throw;
    return {};
  }
}

std::optional<Error> why_not_dropped(const nat::Ruleset& wanted) {
  try {
    check_nftables_table(nat::nftables::target_of_drops({}, wanted, wanted.sources));
    return std::nullopt;
  } catch (const Error& error) {
    if (!is_lacking(error)) throw;
    return error;
  }
}

std::vector<CountedRule> drop_rules_alone() {
  const auto observed = read_nftables_table();
  return has_drops_alone(observed) ? counted_rules(observed) : std::vector<CountedRule>{};
}

std::vector<nat::Source> drop_sources_beside(const std::vector<nat::Source>& sources) {
  const auto observed = read_nftables_table();
  nat::nftables::DecidedSources known;
  for (const auto& source : sources) known[source.network].insert(source.prefix);
  for (const auto& lead : leads_of(observed)) known[lead.source.network].insert(lead.source.prefix);
  std::vector<nat::Source> found;
  for (const auto& source : drop_sources(observed)) {
    if (known[source.network].contains(source.prefix)) continue;
    for (const auto& part : nat::nftables::parts_without(source.prefix, known, source.network))
      found.push_back({part, source.network, source.policy});
  }
  return found;
}

bool drops_stand_alone() {
  const auto chains = nftables_chains();
  return !chains.empty() && std::ranges::all_of(chains, nat::nftables::is_for_drops);
}

bool nftables_may_translate() {
  if (!has_nftables_table()) return false;
  const auto chains = nftables_chains();
  return chains.empty() || !std::ranges::all_of(chains, nat::nftables::is_for_drops);
}

}  // namespace ipmasq::netfilter
