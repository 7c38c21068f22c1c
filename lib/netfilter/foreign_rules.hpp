// The NAT rules and chains of everybody else on the node, in either place.
#pragma once

#include <cstddef>
#include <vector>

#include "nat/foreign_rule.hpp"

namespace ipmasq::netfilter {

/// All rules of the legacy nat tables that are there (looking makes none), ours aside. Throws Error.
std::vector<nat::ForeignRule> foreign_iptables_rules();

/// All rules of nftables, ours aside; none where the kernel has no nftables. Throws Error.
std::vector<nat::ForeignRule> foreign_nftables_rules();

/// Base chains of type nat that hook postrouting in nftables, ours aside; at most `most`. None where the
/// kernel has no nftables. Throws Error.
std::vector<nat::ForeignChain> foreign_nat_chains(std::size_t most);

}  // namespace ipmasq::netfilter
