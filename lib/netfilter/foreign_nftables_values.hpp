// What expressions of somebody else's rules load into registers, and what is made of registers.
#pragma once

#include <optional>

#include "nat/foreign_rule.hpp"
#include "net/range.hpp"
#include "netfilter/foreign_nftables_registers.hpp"
#include "netfilter/netlink.hpp"

namespace ipmasq::netfilter {

/// Of a "meta", a "ct" or a "fib" that loads a register.
Register loaded_by_meta(const Attributes& attributes);
Register loaded_by_conntrack(const Attributes& attributes);
Register loaded_by_fib(const Attributes& attributes);

/// What a mark becomes that is set to this: `own` (Holds::mark, Holds::connection_mark).
nat::MarkChange mark_change_to(const Register& value, Holds own);

/// What two attributes name as registers of a constant address; nullopt where they are none.
std::optional<net::Range> range_in(const Registers& registers, const Attributes& attributes, int first,
                                   int last, net::Family family);

/// Which a "queue" hands packets to; nullopt where a register says so.
std::optional<nat::Queues> queues_in(const Attributes& attributes);

}  // namespace ipmasq::netfilter
