#include "config/duration.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string>
#include <utility>

namespace ipmasq::config {

namespace {

using std::chrono::nanoseconds;

std::optional<long double> nanoseconds_in(std::string_view unit) {
  using namespace std::chrono_literals;
  static constexpr std::array<std::pair<std::string_view, nanoseconds>, 8> units{
      {{"ns", 1ns}, {"us", 1us}, {"\u00b5s", 1us}, {"\u03bcs", 1us}, {"ms", 1ms}, {"s", 1s}, {"m", 1min}, {"h", 1h}}};
  const auto* const found = std::ranges::find(units, unit, &std::pair<std::string_view, nanoseconds>::first);
  if (found == units.end()) return std::nullopt;
  return static_cast<long double>(found->second.count());
}

}  // namespace

std::optional<nanoseconds> parse_duration(std::string_view text) {
  if (text == "0") return nanoseconds{0};
  constexpr auto number_characters = "0123456789.";
  long double total = 0;
  do {
    const auto digits = text.substr(0, text.find_first_not_of(number_characters));
    text.remove_prefix(digits.size());
    const auto unit = nanoseconds_in(text.substr(0, text.find_first_of(number_characters)));
    text.remove_prefix(std::min(text.size(), text.find_first_of(number_characters)));
    long double number = 0;
    const auto* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number, std::chars_format::fixed);
    if (!unit || error != std::errc{} || stop != end) return std::nullopt;
    total += number * *unit;
  } while (!text.empty());
  if (total >= static_cast<long double>(std::numeric_limits<nanoseconds::rep>::max())) return std::nullopt;
  return nanoseconds{static_cast<nanoseconds::rep>(total)};
}

}  // namespace ipmasq::config
