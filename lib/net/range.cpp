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

std::string to_text(const Range& range) {
  if (range.first == range.last) return to_text(range.first);
  for (unsigned length = 0; length < bits(range.first.family); ++length) {
    const auto prefix = network_of(range.first, length);
    if (range_of(prefix) == range) return to_text(prefix);
  }
  return to_text(range.first) + "-" + to_text(range.last);
}

}  // namespace ipmasq::net
