#include "routing/ipsec.hpp"

#include <algorithm>
#include <iterator>

namespace ipmasq::routing {

namespace {

std::optional<net::Prefix> narrower(const net::Prefix& left, const net::Prefix& right) {
  if (left.contains(right)) return right;
  if (right.contains(left)) return left;
  return std::nullopt;
}

bool is_end(const net::Address& asked, const net::Address& has) {
  return asked.is_unspecified() || asked == has;
}

bool is_there(const IpsecTemplate& asked, const std::vector<IpsecState>& states) {
  return std::ranges::any_of(states, [&asked](const IpsecState& state) {
    return state.protocol == asked.protocol && state.mode == asked.mode && state.request == asked.request &&
           (asked.spi == 0 || asked.spi == state.spi) && is_end(asked.source, state.source) &&
           is_end(asked.destination, state.destination);
  });
}

// nullopt: they pass as they are.
std::optional<IpsecFate> fate_by(const IpsecPolicy& policy, const Ipsec& ipsec, bool came_in_clear) {
  if (policy.blocks) return IpsecFate::blocked;
  std::vector<IpsecTemplate> asked;
  std::ranges::copy_if(policy.templates, std::back_inserter(asked),
                       [](const IpsecTemplate& each) { return !each.is_optional; });
  const auto has_state = [&ipsec](const IpsecTemplate& each) { return is_there(each, ipsec.states); };
  const bool are_there = std::ranges::all_of(asked, has_state);
  if (policy.hook == IpsecHook::forward) {
    if (asked.empty() || (!came_in_clear && are_there)) return std::nullopt;
    if (came_in_clear) return IpsecFate::in_the_clear;
  }
  if (!are_there) return ipsec.is_negotiated ? IpsecFate::negotiated : IpsecFate::no_state;
  return std::ranges::any_of(policy.templates, has_state) ? std::optional(IpsecFate::transformed)
                                                          : std::nullopt;
}

struct Pair {
  net::Prefix source;
  net::Prefix destination;

  bool holds(const Pair& other) const {
    return source.contains(other.source) && destination.contains(other.destination);
  }
};

}  // namespace

std::vector<IpsecVerdict> verdicts(const Ipsec& ipsec, IpsecHook hook, const net::Prefix& source,
                                   const net::Prefix& destination, bool came_in_clear) {
  std::vector<IpsecVerdict> found;
  for (const bool is_sub : {true, false}) {
    std::vector<Pair> decided;
    for (const auto& policy : ipsec.policies) {
      if (policy.hook != hook || policy.is_sub != is_sub) continue;
      const auto from = narrower(policy.source, source);
      const auto to = narrower(policy.destination, destination);
      if (!from || !to) continue;
      const Pair pair{*from, *to};
      if (std::ranges::any_of(decided, [&pair](const Pair& each) { return each.holds(pair); })) continue;
      if (const auto fate = fate_by(policy, ipsec, came_in_clear))
        found.push_back({&policy, *fate, pair.source, pair.destination, !policy.asks_for_kind});
      if (!policy.asks_for_kind) decided.push_back(pair);
    }
  }
  return found;
}

}  // namespace ipmasq::routing
