// What the kernel refused of a batch, told to a person.
#pragma once

#include <netlink/msg.h>

#include "error/error.hpp"
#include "nat/nftables_difference.hpp"
#include "netfilter/netlink.hpp"

namespace ipmasq::netfilter {

/// `edit`, `message`: that it refused, and as which message; nullptr where it refused the batch itself.
/// absent where it lacks what a rule or the base chain needs; failed where it lacked memory; else refused,
/// forbidden, busy. Names the expression that the kernel pointed to.
Error refusal_of(const BatchAnswer& answer, const nat::nftables::Edit* edit, nl_msg* message);

}  // namespace ipmasq::netfilter
