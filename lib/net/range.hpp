// Ranges of addresses: what prefixes become where some are cut out of others.
#pragma once

#include <compare>
#include <optional>
#include <string>

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

/// "10.0.0.0/8" where the range is that of a prefix, "10.0.0.1" for a single address, else
/// "10.0.0.1-10.0.0.7": as nft(8) prints it.
std::string to_text(const Range& range);

}  // namespace ipmasq::net
