// One rule of somebody else as nf_tables has it, a list of expressions: what can be told of it.
#pragma once

#include <netlink/attr.h>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "nat/foreign_rule.hpp"

namespace ipmasq::netfilter {

/// The bytes of a key of a set in the rule's table; 0 where it is not known.
using KeyBytes = std::function<std::size_t(const std::string& set)>;

/// `rule` and what an NFTA_RULE_EXPRESSIONS asks for and does: in parts, where it asks for more after it did
/// something. What is not known is one of the other_matches.
std::vector<nat::ForeignRule> foreign_parts(const nlattr* expressions, nat::ForeignRule rule,
                                            const KeyBytes& key_bytes);

/// What an NFTA_DATA_VERDICT does, as ForeignRule has it: "ACCEPT", or a chain.
struct ForeignVerdict {
  std::string target;
  bool is_jump = false;
  bool is_goto = false;
};
ForeignVerdict foreign_verdict(const nlattr* verdict);

}  // namespace ipmasq::netfilter
