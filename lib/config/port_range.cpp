#include "config/port_range.hpp"

#include <algorithm>
#include <charconv>

namespace ipmasq::config {

namespace {

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || stop != end || port == 0) return std::nullopt;
  return port;
}

std::optional<PortRange> parse_range(std::string_view text) {
  const auto dash = text.find('-');
  const auto first = parse_port(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
  if (!first || !last || *first > *last) return std::nullopt;
  return PortRange{*first, *last};
}

bool overlap(std::vector<PortRange> ranges) {
  std::ranges::sort(ranges);
  return std::ranges::adjacent_find(ranges, [](const PortRange& left, const PortRange& right) {
           return left.last >= right.first;
         }) != ranges.end();
}

}  // namespace

std::optional<std::vector<PortRange>> parse_port_ranges(std::string_view text) {
  std::vector<PortRange> ranges;
  for (;;) {
    const auto comma = text.find(',');
    const auto range = parse_range(text.substr(0, comma));
    if (!range) return std::nullopt;
    ranges.push_back(*range);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  if (overlap(ranges)) return std::nullopt;
  return ranges;
}

std::string to_text(const PortRange& range) {
  const auto first = std::to_string(range.first);
  return range.first == range.last ? first : first + "-" + std::to_string(range.last);
}

}  // namespace ipmasq::config
