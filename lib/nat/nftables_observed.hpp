// Our nftables table as the kernel has it, and what it says of the node's pods.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nat/nftables_rules.hpp"
#include "nat/ruleset.hpp"

namespace ipmasq::nat::nftables {

/// A rule in the kernel: its handle there, and what it has counted.
struct ObservedRule {
  Rule rule;
  std::uint64_t handle = 0;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

struct ObservedChain {
  bool is_base = false;
  std::string trouble = {};  ///< what of it ip-masq never makes; empty where it could be one of ours
  std::vector<ObservedRule> rules = {};
};

struct ObservedSet {
  Set set;
  std::string trouble = {};
  bool has_more = false;  ///< elements that were not read
};

/// Whether it is the address that no pod has, and that stands in for all elements that were not read.
bool stands_in(const net::Address& address);

/// Our table in the kernel.
struct ObservedTable {
  bool exists = false;
  bool is_dormant = false;  ///< the kernel calls none of its chains
  std::string trouble = {};
  std::map<std::string, ObservedChain> chains = {};
  std::map<std::string, ObservedSet> sets = {};
};

std::vector<Rule> rules_of(const ObservedChain& chain);

/// The table as it was observed, as something that is to stand. Left out is what cannot be made: sets of
/// types that ip-masq never makes, elements that lead nowhere, and the rules that ask such sets.
Table as_table(const ObservedTable& observed);

/// The sources that are in the table, with the chain of a network that each leads to, or would if no other
/// network had the same source. A chain's own rules tell them; where some of those were lost, what the maps
/// lead to the chain beyond them, cut into prefixes. A subnet that no map leads there, single addresses of
/// which do, is another network's. By source, then chain; each source once for a network.
std::vector<Lead> leads_of(const ObservedTable& observed);

/// The element of a set that holds an address; nullptr where none does.
const Interval<std::string>* element_of(const Set& set, const net::Address& address);

/// The sources that packets from `pod` meet, the first of which decides: one for each map that is asked about
/// them and holds the address. Without a network where what the map has leads to no network's chain.
std::vector<Source> met_by(const ObservedTable& observed, const net::Address& pod);

}  // namespace ipmasq::nat::nftables
