// Source ports: "1024-29999,32768-65535".
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipmasq::config {

/// Both ends belong to it; 1 <= first <= last.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  auto operator<=>(const PortRange&) const = default;

  unsigned size() const { return 1U + last - first; }
};

/// Ports and ranges, with commas between; nullopt for anything else, port 0, ranges that are reversed or
/// overlap.
std::optional<std::vector<PortRange>> parse_port_ranges(std::string_view text);

/// "1024" or "1024-29999".
std::string to_text(const PortRange& range);

}  // namespace ipmasq::config
