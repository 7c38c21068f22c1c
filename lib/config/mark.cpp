#include "config/mark.hpp"

#include <array>
#include <charconv>

namespace ipmasq::config {

namespace {

std::optional<std::uint32_t> parse_number(std::string_view text) {
  constexpr int decimal = 10;
  constexpr int hexadecimal = 16;
  int base = decimal;
  if (text.starts_with("0x")) {
    base = hexadecimal;
    text.remove_prefix(2);
  }
  std::uint32_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

std::string to_hex(std::uint32_t number) {
  constexpr int hexadecimal = 16;
  std::array<char, 8> digits{};
  const auto [stop, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number, hexadecimal);
  return "0x" + std::string(digits.data(), stop);
}

}  // namespace

std::optional<Mark> parse_mark(std::string_view text) {
  const auto slash = text.find('/');
  Mark mark;
  const auto value = parse_number(text.substr(0, slash));
  const auto mask = slash == std::string_view::npos ? mark.mask : parse_number(text.substr(slash + 1));
  if (!value || !mask) return std::nullopt;
  mark = {*value, *mask};
  // Of value 0 are all packets that nobody marked.
  if (mark.value == 0 || (mark.value & ~mark.mask) != 0) return std::nullopt;
  return mark;
}

std::string to_text(const Mark& mark) {
  const auto value = to_hex(mark.value);
  return mark.mask == Mark{}.mask ? value : value + "/" + to_hex(mark.mask);
}

}  // namespace ipmasq::config
