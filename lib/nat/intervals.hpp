// Overlapping prefixes made disjoint, as a lookup in one interval set wants them.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "net/range.hpp"

namespace ipmasq::nat {

/// What decides over every address of a range.
template <typename Value>
struct Interval {
  net::Range range;
  Value value;

  auto operator<=>(const Interval&) const = default;
};

/// Disjoint intervals, by rising address, neighbours of one value joined: over each address decides the
/// longest of the `prefixes` (of one family) that holds it, of equal ones the first.
template <typename Value>
std::vector<Interval<Value>> flatten(std::vector<std::pair<net::Prefix, Value>> prefixes) {
  std::vector<Interval<Value>> intervals;
  const auto append = [&intervals](const net::Address& first, const net::Address& last, const Value& value) {
    if (last < first) return;
    if (!intervals.empty() && intervals.back().value == value &&
        net::next(intervals.back().range.last) == first) {
      intervals.back().range.last = last;
    } else {
      intervals.push_back({{first, last}, value});
    }
  };

  // Prefixes nest or are apart: each opens within the one before, or behind its end.
  std::ranges::stable_sort(prefixes, [](const auto& left, const auto& right) {
    return std::tie(left.first.address, left.first.length) <
           std::tie(right.first.address, right.first.length);
  });
  struct Open {
    std::optional<net::Address> from;  // what is not yet decided; none where nothing is left
    net::Address last;
    const Value* value;
  };
  std::vector<Open> open;
  const auto close = [&] {
    const auto inner = open.back();
    open.pop_back();
    if (inner.from) append(*inner.from, inner.last, *inner.value);
    if (!open.empty()) open.back().from = net::next(inner.last);
  };
  const net::Prefix* before = nullptr;
  for (const auto& [prefix, value] : prefixes) {
    if (before != nullptr && *before == prefix) continue;
    before = &prefix;
    const auto range = net::range_of(prefix);
    while (!open.empty() && open.back().last < range.first) close();
    if (!open.empty() && open.back().from) {
      const auto end = net::previous(range.first);
      if (end && *open.back().from <= *end) append(*open.back().from, *end, *open.back().value);
    }
    open.push_back({range.first, range.last, &value});
  }
  while (!open.empty()) close();
  return intervals;
}

}  // namespace ipmasq::nat
