// How a translation's source ports are spread, which both back ends say in rules of the same order.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/port_range.hpp"
#include "nat/protocol.hpp"
#include "nat/ruleset.hpp"
#include "net/range.hpp"

namespace ipmasq::nat {

/// Masquerade, or SNAT where `to` is set.
struct SourceNat {
  std::optional<net::Range> to;
  std::optional<config::PortRange> ports;
  bool random_fully = false;

  auto operator<=>(const SourceNat&) const = default;  // NOLINT(readability-implicit-bool-conversion)
};

/// One of the rules that carry a translation out.
struct SourceNatRule {
  std::optional<std::string> out_interface;  ///< none: whatever is left
  std::optional<Protocol> protocol;          ///< none: whatever is left
  std::uint32_t ports = 0;                   ///< in this rule's range
  std::uint32_t ports_left = 0;  ///< in this range and those that follow: the rule takes ports / ports_left
  SourceNat nat;

  bool takes_all() const { return ports == ports_left; }
};

/// In order. What has a way out of its own stands before what holds for all others, which is so few rules
/// that each is asked. Ports are picked in two steps, first the range (by its share of all ports), then a
/// port in it by the kernel; what has no ports comes last.
std::vector<SourceNatRule> source_nat_rules(const Translation& translation);

}  // namespace ipmasq::nat
