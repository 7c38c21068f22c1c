// A table of which not all was read: maps and sets of single addresses are as long as the node has pods, and
// a call is about a few of them.
#pragma once

#include <set>
#include <vector>

#include "nat/nftables_difference.hpp"
#include "nat/nftables_observed.hpp"
#include "nat/ruleset.hpp"

namespace ipmasq::nat::nftables {

/// The single addresses that a ruleset is about: sources, and the pods that it answers for.
std::set<net::Address> addresses_of(const Ruleset& ruleset);

/// Whether the other pods' addresses have no say in what a ruleset makes of a table, but for their being
/// there.
bool leaves_others_alone(const Ruleset& ruleset);

/// Puts the address that no pod has (0.0.0.0, ::) in for all elements that were not read
/// (ObservedSet::has_more): what hangs on their being there then stays.
void add_stand_ins(ObservedTable& observed);

/// Whether all that the edits do is to add and delete elements of `addresses`. Others are right only where
/// the whole table was read.
bool are_about(const std::vector<Edit>& edits, const std::set<net::Address>& addresses);

/// The table as it is now without what such edits did to it.
Table taken_back(const ObservedTable& now, const std::vector<Edit>& edits);

}  // namespace ipmasq::nat::nftables
