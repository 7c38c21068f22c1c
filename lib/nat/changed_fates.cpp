#include "nat/changed_fates.hpp"

#include <algorithm>
#include <utility>

namespace ipmasq::nat {

namespace {

using net::Address;
using net::Family;

const NetworkChain* chain_of(const std::vector<NetworkChain>& chains, const std::string& network,
                             Family family) {
  const auto found = std::ranges::find_if(
      chains, [&](const auto& each) { return each.network == network && each.family == family; });
  return found == chains.end() ? nullptr : &*found;
}

// What decides over an address; nullptr: nothing.
template <typename Value>
const Value* value_at(const std::vector<Interval<Value>>& intervals, const Address& address) {
  const auto behind =
      std::ranges::upper_bound(intervals, address, {}, [](const auto& each) { return each.range.first; });
  if (behind == intervals.begin()) return nullptr;
  const auto& found = *std::prev(behind);
  return found.range.last < address ? nullptr : &found.value;
}

bool holds(const std::vector<net::Range>& ranges, const Address& address) {
  return std::ranges::any_of(ranges, [&address](const net::Range& each) {
    return net::overlap(each, {address, address});
  });
}

// Whether a source that is not the pod's own is what connections are masqueraded as now. Nobody tells by
// which interface one left: each that is given by one of them will do, and where no address is given, each
// that was not given before.
bool may_be_given(const Address& seen, const Translation& before, const Translation& now) {
  if (holds(now.sources(), seen)) return true;
  return !now.snat_to && !holds(before.sources(), seen);
}

}  // namespace

ChangedFates::Lists::Lists(const NetworkChain& chain)
    : catch_all(chain.catch_all), translation(chain.translation) {
  std::vector<std::pair<net::Prefix, Verdict>> verdicts;
  verdicts.reserve(chain.destinations.size());
  for (const auto& each : chain.destinations) verdicts.emplace_back(each.prefix, each.verdict);
  destinations = flatten(std::move(verdicts));
}

Fate ChangedFates::Lists::fate_of(const Address& destination) const {
  const auto* const verdict = value_at(destinations, destination);
  if (verdict != nullptr) return *verdict == Verdict::keep ? Fate::kept : Fate::masqueraded;
  return catch_all ? Fate::masqueraded : Fate::left_alone;
}

ChangedFates::ChangedFates(const Ruleset& now, const std::vector<NetworkChain>& before,
                           const std::string& network) {
  for (const auto family : {Family::ipv4, Family::ipv6}) {
    const auto* const chain_before = chain_of(before, network, family);
    const auto* const chain_now = chain_of(now.chains, network, family);
    if (chain_before == nullptr || chain_now == nullptr) continue;
    Change change{Lists(*chain_before), Lists(*chain_now)};
    const bool is_same = change.before.destinations == change.now.destinations &&
                         change.before.catch_all == change.now.catch_all &&
                         change.before.translation.sources() == change.now.translation.sources();
    if (is_same) continue;
    std::vector<std::pair<net::Prefix, bool>> sources;
    for (const auto& source : now.sources) {
      if (source.prefix.family() == family) sources.emplace_back(source.prefix, source.network == network);
    }
    ours_.at(index(family)) = flatten(std::move(sources));
    changes_.at(index(family)) = std::move(change);
  }
}

bool ChangedFates::holds(const Address& source) const {
  const auto* const is_ours = value_at(ours_.at(index(source.family)), source);
  return is_ours != nullptr && *is_ours;
}

bool ChangedFates::has_changed(const PodConnection& connection) const {
  const auto& change = changes_.at(index(connection.source.family));
  if (!change) return false;
  const auto before = change->before.fate_of(connection.destination);
  const auto now = change->now.fate_of(connection.destination);
  const bool is_translated = connection.seen != connection.source;
  const auto& translation = change->now.translation;
  switch (now) {
    case Fate::kept:
      return before != now && is_translated;
    case Fate::masqueraded:
      if (!is_translated) return before != now;
      return (before != now || translation.sources() != change->before.translation.sources()) &&
             !may_be_given(connection.seen, change->before.translation, translation);
    case Fate::left_alone:
      return before != now;
  }
  return false;
}

}  // namespace ipmasq::nat
