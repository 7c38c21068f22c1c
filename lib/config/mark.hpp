// Packet marks as iptables writes them: "0x4000/0x4000".
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace ipmasq::config {

/// Matches a packet whose mark has `value` in the bits of `mask`.
struct Mark {
  std::uint32_t value = 0;
  std::uint32_t mask = std::numeric_limits<std::uint32_t>::max();

  auto operator<=>(const Mark&) const = default;
};

/// "VALUE" (all bits) or "VALUE/MASK", each decimal or 0x hexadecimal; nullopt for anything else, for mask 0
/// (every packet would match) and for a value with bits outside the mask (none would).
std::optional<Mark> parse_mark(std::string_view text);

/// As iptables-save prints it: "0x4000/0x4000", "0x1" where the mask has all bits.
std::string to_text(const Mark& mark);

}  // namespace ipmasq::config
