// Ranges of addresses: what prefixes become where some are cut out of others.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "net/address.hpp"

namespace ipmasq::net {

/// Both ends belong to it; of one family, first <= last.
struct Range {
  Address first;
  Address last;

  auto operator<=>(const Range&) const = default;
};

/// The address after, or before; nullopt behind the last and before the first one of the family.
std::optional<Address> next(const Address& address);
std::optional<Address> previous(const Address& address);

Range range_of(const Prefix& prefix);

/// nullopt where the range is that of no prefix.
std::optional<Prefix> prefix_of(const Range& range);

constexpr Family family(const Range& range) {
  return range.first.family;
}

bool overlap(const Range& left, const Range& right);

/// "10.0.0.1" or "10.0.0.1-10.0.0.7"; nullopt for anything else, also where the ends are of two families, or
/// the first is the higher one.
std::optional<Range> parse_range(std::string_view text);

/// "10.0.0.0/8" where the range is that of a prefix, "10.0.0.1" for a single address, else
/// "10.0.0.1-10.0.0.7": as nft(8) prints it.
std::string to_text(const Range& range);

/// "10.0.0.1" or "10.0.0.0-10.0.0.7", also where it is a prefix.
std::string ends_text(const Range& range);

}  // namespace ipmasq::net
