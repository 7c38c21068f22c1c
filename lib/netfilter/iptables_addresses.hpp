// Prefixes as address and mask: in_addr, in6_addr, and to be written also the union of both, nf_inet_addr.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

#include "net/address.hpp"

namespace ipmasq::netfilter {

/// Both zero where there is no prefix.
template <typename KernelAddress>
void put_prefix(const std::optional<net::Prefix>& prefix, KernelAddress& address, KernelAddress& mask) {
  if (!prefix) return;
  net::Address ones{prefix->family(), {}};
  std::fill_n(ones.bytes.begin(), net::bits(prefix->family()) / 8, std::uint8_t{0xff});
  std::memcpy(&address, prefix->address.bytes.data(), sizeof address);
  std::memcpy(&mask, net::network_of(ones, prefix->length).address.bytes.data(), sizeof mask);
}

/// nullopt for length 0. `whole` becomes false where the mask has holes, which ip-masq never writes.
template <typename KernelAddress>
std::optional<net::Prefix> get_prefix(net::Family family, const KernelAddress& address,
                                      const KernelAddress& mask, bool& whole) {
  net::Prefix prefix{{family, {}}, 0};
  net::Address ones{family, {}};
  std::memcpy(prefix.address.bytes.data(), &address, sizeof address);
  std::memcpy(ones.bytes.data(), &mask, sizeof mask);
  prefix.length = net::length_of(ones.bytes);

  KernelAddress ignored{};
  KernelAddress expected_mask{};
  put_prefix(prefix, ignored, expected_mask);
  whole = whole && std::memcmp(&mask, &expected_mask, sizeof mask) == 0;
  return prefix.length == 0 ? std::nullopt : std::optional(prefix);
}

}  // namespace ipmasq::netfilter
