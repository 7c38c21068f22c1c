// Whether the kernel would take our rules in its legacy nat tables, asked without setting any.
#pragma once

#include "nat/iptables_rules.hpp"
#include "nat/ruleset.hpp"
#include "netfilter/iptables_family.hpp"
#include "netfilter/kernel.hpp"

namespace ipmasq::netfilter {

/// What every network needs: for questions that are asked before there is one.
nat::Ruleset plain_ruleset(net::Family family);

bool has_sources(const nat::Ruleset& wanted, net::Family family);

/// Throws Error{absent} that names the kernel module where the kernel lacks a match or a target of these
/// rules, in the revision that we write; other kinds where it is not to be asked. Makes no table.
template <typename Tables>
void check_extensions(const nat::iptables::Chains& chains);

/// The matches, targets and nat tables of the families that `wanted` has sources of; where it has none, of
/// IPv4, or else of IPv6: a node may have one only. A table that this network namespace has not got is looked
/// for in one that is thrown away, unless it may be made; where that is forbidden, the matches and targets
/// have to do. Throws Error. Before Linux 5.15 a module that this loads makes its table in the host's network
/// namespace.
void check_iptables(const nat::Ruleset& wanted, Tables tables);

}  // namespace ipmasq::netfilter
