#include "nat/changed_fates.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace ipmasq::nat {

namespace {

using net::Address;
using net::Family;

// What decides over an address; nullptr: nothing.
template <typename Value>
const Value* value_at(const std::vector<Interval<Value>>& intervals, const Address& address) {
  const auto behind =
      std::ranges::upper_bound(intervals, address, {}, [](const auto& each) { return each.range.first; });
  if (behind == intervals.begin()) return nullptr;
  const auto& found = *std::prev(behind);
  return found.range.last < address ? nullptr : &found.value;
}

bool hold(const std::vector<net::Range>& ranges, const Address& address) {
  return std::ranges::any_of(ranges, [&address](const net::Range& each) {
    return net::overlap(each, {address, address});
  });
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

// Ports aside, which a connection keeps.
bool ChangedFates::Lists::gives_as(const Lists& other) const {
  return translation.snat_to == other.translation.snat_to &&
         translation.snat_to_by_interface == other.translation.snat_to_by_interface;
}

bool ChangedFates::Lists::operator==(const Lists& other) const {
  return destinations == other.destinations && catch_all == other.catch_all && gives_as(other);
}

ChangedFates::Deciding ChangedFates::deciding(const Ruleset& ruleset, const std::string& network,
                                              Family family) {
  Deciding found;
  std::map<Owner, std::size_t> numbers;
  for (const auto& chain : ruleset.chains) {
    if (chain.network != network || chain.family != family) continue;
    numbers.emplace(chain.owner(), found.lists.size());
    found.lists.emplace_back(chain);
  }
  std::vector<std::pair<net::Prefix, std::optional<std::size_t>>> sources;
  for (const auto& source : ruleset.sources) {
    if (source.prefix.family() != family) continue;
    const auto number = numbers.find(source.owner());
    sources.emplace_back(source.prefix,
                         number == numbers.end() ? std::nullopt : std::optional(number->second));
  }
  found.sources = flatten(std::move(sources));
  return found;
}

const ChangedFates::Lists* ChangedFates::lists_of(const Deciding& deciding, const Address& source) {
  const auto* const number = value_at(deciding.sources, source);
  return number == nullptr || !*number ? nullptr : &deciding.lists.at(**number);
}

ChangedFates::ChangedFates(const Ruleset& before, const Ruleset& now, const std::string& network) {
  for (const auto family : {Family::ipv4, Family::ipv6}) {
    before_.at(index(family)) = deciding(before, network, family);
    now_.at(index(family)) = deciding(now, network, family);
  }
}

bool ChangedFates::holds(const Address& source) const {
  const auto family = index(source.family);
  return lists_of(before_.at(family), source) != nullptr && lists_of(now_.at(family), source) != nullptr;
}

bool ChangedFates::has_changed(const PodConnection& connection, const Given& given) const {
  const auto family = index(connection.source.family);
  const auto& before = *lists_of(before_.at(family), connection.source);
  const auto& now = *lists_of(now_.at(family), connection.source);
  const auto fate = now.fate_of(connection.destination);
  const bool is_other = before.fate_of(connection.destination) != fate;
  const bool is_translated = connection.seen != connection.source;
  if (fate == Fate::kept) return is_other && is_translated;
  if (fate == Fate::left_alone) return false;
  if (!is_translated) return is_other;
  if (!is_other && before.gives_as(now)) return false;
  const auto its = given(connection, now.translation);
  return its ? !hold({*its}, connection.seen)
             : !may_give(before.translation, now.translation, connection.seen);
}

// Where nobody tells by which interface a connection left, each source that is given by one of them will do,
// and where it may be the interface's own, each that was not given before.
bool ChangedFates::may_give(const Translation& before, const Translation& now, const Address& seen) {
  return hold(now.sources(), seen) || (!now.snat_to && !hold(before.sources(), seen));
}

}  // namespace ipmasq::nat
