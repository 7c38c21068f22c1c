// Where rules and routes lead a packet, and which of them decides it: rules in their order up to the one that
// answers, and the route of the table that it names (fib_rules_lookup, fib_table_lookup, fib6_table_lookup).
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "routing/learned_routes.hpp"
#include "routing/policy_rules.hpp"

namespace ipmasq::routing {

/// By the tables that they are in.
using Tables = std::map<std::uint32_t, std::vector<KernelRoute>>;

struct Decision {
  const PolicyRule* rule = nullptr;    ///< that answers; none: no route leads there
  const KernelRoute* route = nullptr;  ///< of the rule's table; none: the rule itself refuses
  /// Where no route leads there: the first rule whose table would lead there, but for a route of type throw,
  /// or because it passes over what is as short as the route that it has.
  const PolicyRule* rule_that_leaves = nullptr;
  const KernelRoute* route_left = nullptr;
};

/// `rules` in the kernel's order; both outlive the answer.
Decision decide(const std::vector<PolicyRule>& rules, const Tables& tables, const Packet& packet);

}  // namespace ipmasq::routing
