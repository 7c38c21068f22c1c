// One rule of ours as the kernel lays it out, to and fro.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "nat/iptables_observed.hpp"
#include "nat/iptables_rules.hpp"
#include "netfilter/iptables_family.hpp"

namespace ipmasq::netfilter {

/// A whole ipt_entry or ip6t_entry, with its matches and its target; of a jump the target is the chain's
/// name, as libiptc takes it. `rule` has no other_matches and no OtherTarget.
template <typename Tables>
std::vector<std::byte> encode(const nat::iptables::Rule& rule);

/// The rule and its counters. `target`: the name that libiptc has for it (iptc_get_target), a chain's for a
/// jump. What ip-masq never writes comes out as other_matches or OtherTarget; fields that the kernel fills
/// are passed over.
template <typename Tables>
nat::iptables::ObservedRule decode(const typename Tables::Entry& entry, const std::string& target);

}  // namespace ipmasq::netfilter
