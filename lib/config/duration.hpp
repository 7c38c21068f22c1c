// Durations as Go writes them (time.ParseDuration): 1m30s, 500ms.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace ipmasq::config {

/// A hundred years: what ends so long after now still fits a std::chrono::time_point.
inline constexpr std::chrono::nanoseconds longest_duration = std::chrono::hours(876'000);

/// Decimal numbers, each with its unit (ns, us, µs, ms, s, m, h), or "0". nullopt for anything else, negative
/// durations and those over longest_duration.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

}  // namespace ipmasq::config
