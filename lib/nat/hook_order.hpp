// In which order forwarded packets meet base chains.
#pragma once

#include <algorithm>
#include <cstdint>
#include <tuple>

#include "nat/answer.hpp"
#include "nat/foreign_rule.hpp"

namespace ipmasq::nat {

// linux/netfilter_ipv4.h: where connections are tracked, and where NAT is. The nat chains of all, iptables'
// as well, are asked there whatever priorities they have, which order them among themselves (nf_nat_core.c:
// nf_nat_register_fn).
inline constexpr std::int32_t conntrack_priority = -200;
inline constexpr std::int32_t destination_nat_priority = -100;
inline constexpr std::int32_t source_nat_priority = 100;

constexpr std::int32_t nat_priority(Hook hook) {
  return hook == Hook::prerouting ? destination_nat_priority : source_nat_priority;
}

// Where packets meet a base chain: these are in their order. Of a chain beside NAT, nobody can tell: what was
// registered last comes first.
using Position = std::tuple<Hook, std::int32_t, bool, std::int32_t>;

inline Position position_of(const ForeignChain& base) {
  return base.is_nat ? Position{base.hook, nat_priority(base.hook), true, base.priority}
                     : Position{base.hook, base.priority, false, 0};
}

inline bool is_beside_nat(const ForeignChain& base) {
  return !base.is_nat && base.priority == nat_priority(base.hook);
}

// Whether what is done in a chain comes before connections are tracked; at the same priority nobody can tell.
inline Answer is_before_tracking(const ForeignChain& base) {
  if (base.hook == Hook::ingress) return Answer::yes;
  if (base.hook != Hook::prerouting || base.priority > conntrack_priority) return Answer::no;
  return base.priority == conntrack_priority ? Answer::may : Answer::yes;
}

// Whether a packet has a connection there; `untracked`: whether it was kept out of tracking.
inline Answer has_connection(const ForeignChain& base, Answer untracked) {
  const auto is_tracked = opposite(std::max(untracked, is_before_tracking(base)));
  // Where bridges track by themselves is not known.
  return base.family == "bridge" ? both(is_tracked, Answer::may) : is_tracked;
}

}  // namespace ipmasq::nat
