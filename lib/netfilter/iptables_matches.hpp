// The matches that ip-masq writes, each with the way to the kernel beside the way back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "nat/iptables_rules.hpp"

namespace ipmasq::netfilter {

/// One kind of match (-m NAME), in one revision of its layout.
struct MatchKind {
  std::string_view name;
  std::uint8_t revision;
  std::string_view module;  ///< of the kernel
  std::size_t size;         ///< of what it holds
  bool (*is_in)(const nat::iptables::Rule& rule);
  /// Of a rule that it is in; `info` has `size` bytes.
  void (*write)(const nat::iptables::Rule& rule, std::byte* info);
  /// Whether it is as ip-masq writes it: the rule, whose addresses are there, has then got it.
  bool (*read)(const std::byte* info, nat::iptables::Rule& rule);
};

/// In the order in which a rule has them.
std::span<const MatchKind> match_kinds();

}  // namespace ipmasq::netfilter
