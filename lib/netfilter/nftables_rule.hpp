// One rule of ours as nf_tables has it, a list of expressions, to and fro.
#pragma once

#include <netlink/attr.h>
#include <netlink/msg.h>

#include "nat/nftables_observed.hpp"
#include "nat/nftables_rules.hpp"

namespace ipmasq::netfilter {

/// Appends the rule's expressions to a NFT_MSG_NEWRULE, as attribute NFTA_RULE_EXPRESSIONS. `rule.other` is
/// empty.
void put_expressions(nl_msg* message, const nat::nftables::Rule& rule);

/// The rule of an NFTA_RULE_EXPRESSIONS and its counter, no handle. What ip-masq never writes comes out as
/// Rule::other; what the kernel fills in is passed over.
nat::nftables::ObservedRule read_expressions(const nlattr* expressions);

}  // namespace ipmasq::netfilter
