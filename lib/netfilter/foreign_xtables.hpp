// Matches and targets of x_tables that others' rules have, in legacy iptables and, by the same layouts, in
// nftables' compat expressions (iptables-nft).
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "nat/foreign_rule.hpp"

namespace ipmasq::netfilter {

/// One as the kernel has it; `info` follows its header.
struct XtablesPart {
  std::string_view name;
  unsigned revision = 0;
  std::span<const std::byte> info;
};

/// Adds what a match asks for.
void read_xtables_match(const XtablesPart& match, nat::ForeignRule& rule);

/// Adds what a target does: of an extension, not of a verdict or a jump.
void read_xtables_target(const XtablesPart& target, net::Family family, nat::ForeignRule& rule);

}  // namespace ipmasq::netfilter
