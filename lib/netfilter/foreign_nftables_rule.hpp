// One rule of somebody else as nf_tables has it, a list of expressions: what can be told of it.
#pragma once

#include <netlink/attr.h>

#include <string>
#include <string_view>

#include "nat/foreign_rule.hpp"

namespace ipmasq::netfilter {

/// Adds to `rule` what an NFTA_RULE_EXPRESSIONS asks for and does. What is not known is one of its
/// other_matches.
void read_foreign_expressions(const nlattr* expressions, nat::ForeignRule& rule);

/// What an NFTA_DATA_VERDICT does, as ForeignRule has it: "ACCEPT", or a chain.
struct ForeignVerdict {
  std::string target;
  bool is_jump = false;
  bool is_goto = false;
};
ForeignVerdict foreign_verdict(const nlattr* verdict);

}  // namespace ipmasq::netfilter
