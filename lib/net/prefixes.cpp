#include "net/prefixes.hpp"

namespace ipmasq::net {

// Each is the largest that begins at what is left and ends within it.
std::set<Prefix> prefixes_of(Range range) {
  std::set<Prefix> prefixes;
  for (;;) {
    Prefix largest{range.first, bits(range.first.family)};
    while (largest.length > 0) {
      const auto wider = network_of(range.first, largest.length - 1);
      if (wider.address != range.first || range.last < range_of(wider).last) break;
      largest = wider;
    }
    prefixes.insert(largest);
    const auto behind = next(range_of(largest).last);
    if (!behind || range.last < *behind) return prefixes;
    range.first = *behind;
  }
}

}  // namespace ipmasq::net
