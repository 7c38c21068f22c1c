// Error codes of ip-masq's own that arise at the kernel's edge (README lists all of them).
#pragma once

#include "cni/error.hpp"

namespace ipmasq::netfilter {

inline constexpr cni::ErrorCode nat_unavailable{100};  ///< the kernel offers no nat table, or not to us
inline constexpr cni::ErrorCode rules_refused{101};    ///< the kernel refused a commit

}  // namespace ipmasq::netfilter
