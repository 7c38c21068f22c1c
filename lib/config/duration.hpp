// Durations as Go writes them (time.ParseDuration): 1m30s, 500ms.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace ipmasq::config {

/// Decimal numbers, each with its unit (ns, us, µs, ms, s, m, h), or "0". nullopt for anything else, negative
/// durations and those over 290 years.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

}  // namespace ipmasq::config
