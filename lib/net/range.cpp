#include "net/range.hpp"

#include <algorithm>

namespace ipmasq::net {

namespace {

// The bytes counted as one number: `add` is 1 or -1, `overflow` the byte that carries on to the one before.
std::optional<Address> step(Address address, int add, std::uint8_t overflow) {
  for (auto index = bits(address.family) / 8; index-- > 0;) {
    auto& byte = address.bytes.at(index);
    const bool carries = byte == overflow;
    byte = static_cast<std::uint8_t>(byte + add);
    if (!carries) return address;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Address> next(const Address& address) {
  return step(address, 1, 0xff);
}

std::optional<Address> previous(const Address& address) {
  return step(address, -1, 0);
}

Range range_of(const Prefix& prefix) {
  Range range{prefix.address, prefix.address};
  for (unsigned bit = prefix.length; bit < bits(prefix.family()); ++bit) {
    range.last.bytes.at(bit / 8) |= static_cast<std::uint8_t>(0x80U >> bit % 8);
  }
  return range;
}

std::optional<Prefix> prefix_of(const Range& range) {
  for (unsigned length = 0; length <= bits(range.first.family); ++length) {
    const auto prefix = network_of(range.first, length);
    if (range_of(prefix) == range) return prefix;
  }
  return std::nullopt;
}

bool overlap(const Range& left, const Range& right) {
  return left.first.family == right.first.family && left.first <= right.last && right.first <= left.last;
}

std::optional<Range> parse_range(std::string_view text) {
  const auto dash = text.find('-');
  const auto first = parse_address(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : parse_address(text.substr(dash + 1));
  if (!first || !last || first->family != last->family || *last < *first) return std::nullopt;
  return Range{*first, *last};
}

std::string ends_text(const Range& range) {
  return to_text(range.first) + (range.first == range.last ? "" : "-" + to_text(range.last));
}

std::string to_text(const Range& range) {
  if (range.first == range.last) return to_text(range.first);
  const auto prefix = prefix_of(range);
  return prefix ? to_text(*prefix) : ends_text(range);
}

}  // namespace ipmasq::net
