// What everybody else on the node has in netfilter, in either place.
#pragma once

#include <cstddef>
#include <vector>

#include "nat/foreign_rule.hpp"

namespace ipmasq::netfilter {

/// All of it, ours aside: the legacy tables that are there (looking makes none) and all of nftables that
/// forwarded packets can meet; nothing where the kernel has neither. Throws Error where it could not look.
nat::Foreign foreign_rules();

/// Adds what the legacy tables hold. Throws Error.
void append_foreign_iptables(nat::Foreign& foreign);

/// Adds what nftables holds. Throws Error.
void append_foreign_nftables(nat::Foreign& foreign);

/// Base chains of type nat that hook postrouting in nftables, ours aside; at most `most`. None where the
/// kernel has no nftables. Throws Error.
std::vector<nat::ForeignChain> foreign_nat_chains(std::size_t most);

}  // namespace ipmasq::netfilter
