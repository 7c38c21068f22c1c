#include "routing/decision.hpp"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <tuple>

namespace ipmasq::routing {

namespace {

bool is_for(const KernelRoute& route, const Packet& packet) {
  const bool is_of_source = route.source.length == 0 || route.source.contains(packet.source);
  return !route.is_dead && (route.tos == 0 || route.tos == packet.tos) && is_of_source &&
         route.destination.contains(packet.destination);
}

// The longest destination first; of one, the source and the type of service that is asked for, and then the
// smallest metric.
bool comes_before(const KernelRoute& left, const KernelRoute& right) {
  return std::tuple(right.destination.length, right.source.length, right.tos, left.metric) <
         std::tuple(left.destination.length, left.source.length, left.tos, right.metric);
}

const KernelRoute* route_in(const Tables& tables, std::uint32_t table, const Packet& packet,
                            bool with_throw = true) {
  const auto found = tables.find(table);
  if (found == tables.end()) return nullptr;
  const KernelRoute* first = nullptr;
  for (const auto& each : found->second) {
    const bool is_asked = with_throw || each.type != RTN_THROW;
    if (is_asked && is_for(each, packet) && (first == nullptr || comes_before(each, *first))) first = &each;
  }
  return first;
}

bool is_suppressed(const PolicyRule& rule, const KernelRoute& route) {
  const bool leads =
      route.type != RTN_BLACKHOLE && route.type != RTN_UNREACHABLE && route.type != RTN_PROHIBIT;
  return leads && static_cast<int>(route.destination.length) <= rule.suppressed_length;
}

}  // namespace

Decision decide(const std::vector<PolicyRule>& rules, const Tables& tables, const Packet& packet) {
  Decision none;
  for (auto rule = rules.begin(); rule != rules.end();) {
    const auto& each = *rule++;
    if (!each.holds(packet) || each.action == FR_ACT_NOP) continue;
    if (each.action == FR_ACT_GOTO) {  // ahead only: the kernel takes no other
      const auto target = std::ranges::find(rule, rules.end(), each.jump_to, &PolicyRule::priority);
      if (target != rules.end()) rule = target;
      continue;
    }
    if (each.action != FR_ACT_TO_TBL) return {.rule = &each};
    const auto* const route = route_in(tables, each.table, packet);
    if (route == nullptr) continue;
    const bool is_thrown = route->type == RTN_THROW;
    if (!is_thrown && !is_suppressed(each, *route)) return {.rule = &each, .route = route};
    const auto* const behind = is_thrown ? route_in(tables, each.table, packet, false) : route;
    const bool would_lead =
        behind != nullptr && behind->type == RTN_UNICAST && (!is_thrown || !is_suppressed(each, *behind));
    if (would_lead && none.rule_that_leaves == nullptr) none = {nullptr, nullptr, &each, route};
  }
  return none;
}

}  // namespace ipmasq::routing
