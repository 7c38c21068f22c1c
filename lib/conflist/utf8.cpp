#include "conflist/utf8.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>

namespace ipmasq::conflist {

namespace {

constexpr std::string_view replacement = "\\ufffd";

unsigned char byte_at(std::string_view text, std::size_t place) {
  return place < text.size() ? static_cast<unsigned char>(text[place]) : 0;
}

// Of the character that begins here; 0 where none does (Unicode 15, table 3-7).
std::size_t size_of_character(std::string_view text, std::size_t place) {
  const auto first = byte_at(text, place);
  const auto second = byte_at(text, place + 1);
  const auto continues = [&](std::size_t from, std::size_t size) {
    for (auto at = from; at < size; ++at) {
      if ((byte_at(text, place + at) & 0xc0U) != 0x80U) return std::size_t{0};
    }
    return size;
  };
  const auto is_second_in = [second](unsigned low, unsigned high) { return second >= low && second <= high; };
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1, 2);
  if (first >= 0xe0 && first <= 0xef)
    return is_second_in(first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf) ? continues(2, 3) : 0;
  if (first >= 0xf0 && first <= 0xf4)
    return is_second_in(first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf) ? continues(2, 4) : 0;
  return 0;
}

// The UTF-16 unit that is escaped here.
std::optional<unsigned> unit_at(std::string_view text, std::size_t place) {
  constexpr std::size_t digits = 4;
  if (text.substr(std::min(place, text.size()), 2) != "\\u" || text.size() - place < replacement.size())
    return {};
  unsigned unit = 0;
  const auto* const begin = text.data() + place + 2;
  const auto [end, error] = std::from_chars(begin, begin + digits, unit, 16);
  return error == std::errc() && end == begin + digits ? std::optional(unit) : std::nullopt;
}

bool is_in(const std::optional<unsigned>& unit, unsigned low, unsigned high) {
  return unit && *unit >= low && *unit <= high;
}

}  // namespace

std::string with_utf8_alone(std::string_view text) {
  std::string changed(text);
  for (std::size_t place = 0; place < text.size();) {
    if (text[place] == '\\') {
      const auto unit = unit_at(text, place);
      const bool is_high = is_in(unit, 0xd800, 0xdbff);
      const bool is_pair = is_high && is_in(unit_at(text, place + replacement.size()), 0xdc00, 0xdfff);
      if (!is_pair && (is_high || is_in(unit, 0xdc00, 0xdfff)))
        changed.replace(place, replacement.size(), replacement);
      place += is_pair ? 2 * replacement.size() : unit ? replacement.size() : 2;
      continue;
    }
    const auto size = size_of_character(text, place);
    if (size == 0) changed[place] = '?';
    place += std::max<std::size_t>(size, 1);
  }
  return changed;
}

}  // namespace ipmasq::conflist
