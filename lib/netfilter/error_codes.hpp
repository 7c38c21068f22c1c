// Error codes of ip-masq's own that arise at the kernel's edge (README lists all of them).
#pragma once

#include "cni/error.hpp"

namespace ipmasq::netfilter {

inline constexpr cni::ErrorCode nat_unavailable{100};  ///< the kernel offers no such NAT
inline constexpr cni::ErrorCode rules_refused{101};    ///< the kernel refused a commit
inline constexpr cni::ErrorCode nat_forbidden{103};    ///< the kernel does not offer it to us

}  // namespace ipmasq::netfilter
