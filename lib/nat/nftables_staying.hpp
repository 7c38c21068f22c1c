// What of our nftables table stays as it is, beside what a ruleset decides.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "nat/nftables_observed.hpp"
#include "nat/nftables_rules.hpp"
#include "nat/ruleset.hpp"
#include "net/address.hpp"

namespace ipmasq::nat::nftables {

/// The sources of which a ruleset says that they stay or go, by network.
using DecidedSources = std::map<std::string, std::set<net::Prefix>>;
DecidedSources decided_sources(const Ruleset& ruleset);

/// What of `whole` none of the decided sources of its network holds.
std::vector<net::Prefix> parts_without(const net::Prefix& whole, const DecidedSources& decided,
                                       const std::string& network);

/// The chain as it is, with the sets that its rules ask, but for what is about sources that are gone: not
/// among `sources`. Rules that ask what does not stay go: they are none of ours. Lists of destinations that
/// are called after `owner`, the chain that translates for the same pods, stay where the rules were lost.
void keep_chain(const std::string& name, const std::string& owner, const ObservedTable& observed,
                const std::set<net::Prefix>& sources, Table& table);

}  // namespace ipmasq::nat::nftables
