#include "config/duration.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ipmasq::config {

namespace {

using std::chrono::nanoseconds;

std::optional<nanoseconds> parse_unit(std::string_view text) {
  using namespace std::chrono_literals;
  static constexpr std::array<std::pair<std::string_view, nanoseconds>, 8> units{{{"ns", 1ns},
                                                                                  {"us", 1us},
                                                                                  {"\u00b5s", 1us},
                                                                                  {"\u03bcs", 1us},
                                                                                  {"ms", 1ms},
                                                                                  {"s", 1s},
                                                                                  {"m", 1min},
                                                                                  {"h", 1h}}};
  const auto* const found = std::ranges::find(units, text, &std::pair<std::string_view, nanoseconds>::first);
  return found == units.end() ? std::nullopt : std::optional(found->second);
}

std::optional<double> parse_digits(std::string_view digits) {
  double number = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + (digit - '0');
  }
  return number;
}

// Digits with at most one point among them, and at least one digit.
std::optional<double> parse_decimal(std::string_view text) {
  const auto point = std::min(text.find('.'), text.size());
  const auto fraction_digits = text.substr(std::min(point + 1, text.size()));
  const auto whole = parse_digits(text.substr(0, point));
  const auto fraction = parse_digits(fraction_digits);
  if (!whole || !fraction || point + fraction_digits.size() == 0) return std::nullopt;
  double scale = 1;
  for (std::size_t digit = 0; digit < fraction_digits.size(); ++digit) scale *= 10;
  return *whole + *fraction / scale;
}

}  // namespace

std::optional<nanoseconds> parse_duration(std::string_view text) {
  if (text == "0") return nanoseconds{0};
  constexpr auto number_characters = "0123456789.";
  double total = 0;
  do {
    const auto number_text = text.substr(0, text.find_first_not_of(number_characters));
    text.remove_prefix(number_text.size());
    const auto unit_text = text.substr(0, text.find_first_of(number_characters));
    text.remove_prefix(unit_text.size());
    const auto number = parse_decimal(number_text);
    const auto unit = parse_unit(unit_text);
    if (!number || !unit) return std::nullopt;
    total += *number * static_cast<double>(unit->count());
  } while (!text.empty());
  if (!(total <= static_cast<double>(longest_duration.count()))) return std::nullopt;
  return nanoseconds{static_cast<nanoseconds::rep>(total)};
}

}  // namespace ipmasq::config
