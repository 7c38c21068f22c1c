// What of our nftables table drops packets that connection tracking calls invalid, since nobody can translate
// them: a base chain on forward, the maps that it asks, and a chain for each
// network (and policy) and family. It stands
// beside NAT in whichever back end.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "nat/nftables_observed.hpp"
#include "nat/nftables_rules.hpp"
#include "nat/ruleset.hpp"

namespace ipmasq::nat::nftables {

/// NETWORK-SUFFIX-invalid or NETWORK-SUFFIX-6-invalid, or the same of a policy.
std::string drop_chain_name(const Owner& owner, net::Family family);
inline std::string drop_chain_name(const std::string& network, net::Family family) {
  return drop_chain_name(Owner{network}, family);
}

/// Whose packets, and of which family, a chain drops, by its name; nullopt where it is none of those.
std::optional<std::pair<Owner, net::Family>> whose_drop_chain(const std::string& name);

/// Whether it is one of those, or the base chain that leads to them, by its name.
bool is_for_drops(const std::string& chain);

/// Whether a map is one of those that lead to such chains, by its name.
bool leads_to_drop_chains(const std::string& map);

/// Adds to a table that has its NAT what is to drop packets beside it: nothing where no network drops any.
/// What `ruleset` decides is made of it, the rest stays as it was observed; of sources of which nothing was
/// dropped, nothing is. `sources`: those whose NAT is to stand, as far as it is known.
void add_drops(const ObservedTable& observed, const Ruleset& ruleset, const std::vector<Source>& sources,
               Table& table);

/// The sources that lead to such chains, in no order.
std::vector<Source> drop_sources(const ObservedTable& observed);

/// Whether the table is there and has nothing else.
bool has_drops_alone(const ObservedTable& observed);

}  // namespace ipmasq::nat::nftables
