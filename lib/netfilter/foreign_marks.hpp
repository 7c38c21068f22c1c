// Marks of packets and connections, as others' rules name them.
#pragma once

#include "config/mark.hpp"

namespace ipmasq::netfilter {

inline constexpr auto all_bits = config::Mark{}.mask;

}  // namespace ipmasq::netfilter
