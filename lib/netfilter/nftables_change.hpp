// What a call wants of our nftables table, carried out, compared and told.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "nat/nftables_difference.hpp"
#include "nat/nftables_observed.hpp"
#include "nat/nftables_rules.hpp"
#include "net/address.hpp"
#include "netfilter/nat_backend.hpp"

namespace ipmasq::netfilter {

/// What is to stand, by what stands. `only`: the addresses of which alone elements of maps and sets of single
/// addresses were read; null where all were.
using WantedTable = std::function<nat::nftables::Table(const nat::nftables::ObservedTable&,
                                                       const std::set<net::Address>* only)>;

/// A line each, for a person.
std::vector<std::string> describe(const std::vector<nat::nftables::Edit>& edits);

/// Brings the table to what is wanted, in one batch; where `only` is not null and nothing but elements of
/// these addresses has to change, by a look at those alone. Throws Error as change_nftables_table.
Change change_nftables(const WantedTable& wanted, const std::set<net::Address>* only);

/// The rules of the table, those of a base chain before the chains that it leads to.
std::vector<CountedRule> counted_rules(const nat::nftables::ObservedTable& table);

}  // namespace ipmasq::netfilter
