// Ranges of addresses as the prefixes that make them up.
#pragma once

#include <set>

#include "net/address.hpp"
#include "net/range.hpp"

namespace ipmasq::net {

/// The fewest prefixes that make up a range.
std::set<Prefix> prefixes_of(Range range);

}  // namespace ipmasq::net
