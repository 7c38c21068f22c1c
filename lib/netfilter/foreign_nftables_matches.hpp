// What a rule of somebody else in nf_tables asks for by comparing a register, or by looking it up in a set.
#pragma once

#include <cstddef>
#include <optional>

#include "nat/foreign_rule.hpp"
#include "netfilter/foreign_nftables_registers.hpp"
#include "netfilter/netlink.hpp"

namespace ipmasq::netfilter {

/// The same of a "range", of addresses.
bool read_range(const Attributes& attributes, const Register& value, nat::ForeignRule& rule);

/// Adds what a "cmp" asks of `value` to `rule`; `family` is then the one that it asks for. False where it
/// cannot be told.
bool read_comparison(const Attributes& attributes, const Register& value, nat::ForeignRule& rule,
                     std::optional<net::Family>& family);

/// A "lookup" whose set has keys of `key_bytes` (0: not known): what of the packet is where in its key.
/// `rule` gets the family that this asks for where `family` has not said it.
nat::Lookup lookup_in(const Attributes& attributes, const Registers& registers, std::size_t key_bytes,
                      std::optional<net::Family> family, nat::ForeignRule& rule);

}  // namespace ipmasq::netfilter
