// Rules of policy routing: ip-rule(8), linux/fib_rules.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/address.hpp"

namespace ipmasq::routing {

struct PolicyRule {
  std::uint32_t priority = 0;
  int action = 0;  ///< FR_ACT_TO_TBL, FR_ACT_PROHIBIT, ...
  std::optional<net::Prefix> source = {};
  std::optional<net::Prefix> destination = {};
  std::string in_interface = {};
  bool is_inverted = false;
  bool asks_for_more = false;  ///< than that: a mark, a protocol, ports
};

/// Those that may be for packets that come from `source` by an interface and are to be forwarded to
/// `destination`, in the kernel's order. Throws Error{failed}.
std::vector<PolicyRule> rules_that_may_be_for(const net::Address& destination, const net::Address& source,
                                              const std::string& in_interface);

}  // namespace ipmasq::routing
