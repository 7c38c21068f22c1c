// What is said where a legacy nat table is not to be had, or refuses our rules.
#pragma once

#include "error/error.hpp"
#include "nat/iptables_rules.hpp"
#include "netfilter/iptables_family.hpp"

namespace ipmasq::netfilter {

/// Of a table that could not be opened or read, by errno: absent, forbidden, busy, failed.
template <typename Tables>
[[noreturn]] void throw_table_error(int number, const char* table = nat_table);

/// Of a change to `wanted` that failed with this errno, and what libiptc says of it. Where a part of the
/// kernel is missing: absent, and its name. Where the kernel looked at the rules: refused.
template <typename Tables>
[[noreturn]] void throw_change_error(int number, const std::string& reason,
                                     const nat::iptables::Chains& wanted);

}  // namespace ipmasq::netfilter
