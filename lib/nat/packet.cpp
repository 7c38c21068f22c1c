#include "nat/packet.hpp"

namespace ipmasq::nat {

namespace {

Answer inverted_if(bool inverted, Answer answer) {
  return inverted ? opposite(answer) : answer;
}

Answer yes_if(bool holds) {
  return holds ? Answer::yes : Answer::no;
}

bool overlaps(const net::Range& left, const net::Range& right) {
  return left.first.family == right.first.family && left.first <= right.last && right.first <= left.last;
}

bool covers(const net::Range& outer, const net::Range& inner) {
  return outer.first.family == inner.first.family && outer.first <= inner.first && inner.last <= outer.last;
}

// From the first to the last address that stand at a byte of two keys; nullopt where the keys end before.
std::optional<net::Range> hull(const ForeignElement& element, net::Family family, unsigned at) {
  const auto size = net::bits(family) / 8;
  if (element.first.size() < at + size || element.last.size() < at + size) return std::nullopt;
  net::Range range{{family, {}}, {family, {}}};
  std::copy_n(element.first.begin() + at, size, range.first.bytes.begin());
  std::copy_n(element.last.begin() + at, size, range.last.bytes.begin());
  return range;
}

// "eth+": all that begin so.
bool is_name(const std::string& pattern, const std::string& name) {
  return pattern.ends_with('+') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
}

// Of what is not known only that nothing is forwarded from or to the node's own lo.
Answer is_interface(const Match<std::string>& match, const std::optional<std::string>& known) {
  if (match.value == "lo") return inverted_if(match.inverted, Answer::no);
  return inverted_if(match.inverted, known ? yes_if(is_name(match.value, *known)) : Answer::may);
}

// Of a packet that has one of several.
Answer is_one_of(const Match<std::string>& match, const std::set<std::string>& devices) {
  if (devices.empty()) return is_interface(match, std::nullopt);
  auto least = Answer::yes;
  auto most = Answer::no;
  for (const auto& each : devices) {
    const auto answer = is_interface(match, each);
    least = std::min(least, answer);
    most = std::max(most, answer);
  }
  return least == most ? most : Answer::may;
}

// At which of a flow's devices a chain that is bound to some meets it: by one of several is "may".
Answer passes(const std::vector<std::string>& bound, const std::set<std::string>& devices) {
  auto answer = Answer::no;
  for (const auto& each : bound) answer = std::max(answer, is_one_of({each}, devices));
  return answer;
}

}  // namespace

Answer PacketMark::has(const config::Mark& mark) const {
  if (((value ^ mark.value) & mark.mask & ~unknown) != 0) return Answer::no;
  return (unknown & mark.mask) != 0 ? Answer::may : Answer::yes;
}

void PacketMark::change(const MarkChange& by, std::uint32_t unknown_of_connection, Answer certainty) {
  const auto after = (value & by.keep) ^ by.flip;
  const auto unknown_after = (unknown & by.keep) | by.unknown | (by.restored & unknown_of_connection);
  if (certainty == Answer::yes) {
    value = after;
    unknown = unknown_after;
  } else {
    unknown |= unknown_after | (value ^ after);
  }
}

Addresses::Addresses(const std::vector<net::Prefix>& prefixes) {
  for (const auto& prefix : prefixes) ranges_.push_back(net::range_of(prefix));
  std::ranges::sort(ranges_);
  // Prefixes lie beside or within one another.
  const auto within = [](const net::Range& outer, const net::Range& inner) { return covers(outer, inner); };
  ranges_.erase(std::unique(ranges_.begin(), ranges_.end(), within), ranges_.end());
}

Answer Addresses::lie_in(const net::Range& range) const {
  const auto first =
      std::ranges::lower_bound(ranges_, range.first, {}, [](const net::Range& each) { return each.last; });
  if (first == ranges_.end() || !overlaps(*first, range)) return Answer::no;
  return covers(range, {ranges_.front().first, ranges_.back().last}) ? Answer::yes : Answer::may;
}

namespace {

std::string name_of(const std::string& family, const std::string& table, const std::string& set) {
  return family + '\0' + table + '\0' + set;
}

}  // namespace

Packet::Packet(const Foreign& foreign, const Flow& flow)
    : flow_(flow), sources_(flow.sources), destination_(flow.destination) {
  for (const auto& set : foreign.sets) sets_[name_of(set.family, set.table, set.name)] = &set;
}

void Packet::goes_to(const net::Address& destination) {
  destination_ = destination;
  in_sets_.clear();
}

// ---- interfaces

Answer Packet::enters(const ForeignChain& base) {
  base_ = &base;
  const bool comes = base.hook == Hook::ingress;
  const auto& interface = comes ? flow_.in_interface : flow_.out_interface;
  const auto& devices = comes ? flow_.in_devices : flow_.out_devices;
  if (base.family == "bridge") {
    const bool is_known = interface && !devices.empty();
    return is_known ? yes_if(!ports(devices, interface).empty()) : Answer::may;
  }
  if (base.devices.empty()) return Answer::yes;
  return devices.empty() && interface ? passes(base.devices, {*interface}) : passes(base.devices, devices);
}

// What a chain of ingress or egress has for the packet's interface: of a bridge a port, else where the chain
// is bound to.
std::set<std::string> Packet::ports(const std::set<std::string>& devices,
                                    const std::optional<std::string>& interface) const {
  std::set<std::string> found;
  for (const auto& each : devices) {
    const bool is_it =
        base_->family == "bridge" ? each != interface : std::ranges::any_of(base_->devices, [&](const auto& bound) {
          return is_name(bound, each);
        });
    if (is_it) found.insert(each);
  }
  const bool is_one = base_->devices.size() == 1 && !base_->devices.front().ends_with('+');
  if (devices.empty() && is_one) found.insert(base_->devices.front());
  return found;
}

// A hook that has no such interface has an empty name for it.
Answer Packet::is_in_interface(const Match<std::string>& match) const {
  if (base_->hook == Hook::egress) return is_interface(match, "");
  if (base_->hook == Hook::ingress) return is_one_of(match, ports(flow_.in_devices, flow_.in_interface));
  return flow_.in_interface ? is_interface(match, flow_.in_interface) : is_one_of(match, flow_.in_devices);
}

Answer Packet::is_out_interface(const Match<std::string>& match) const {
  if (base_->hook <= Hook::prerouting) return is_interface(match, "");
  if (base_->hook == Hook::egress) return is_one_of(match, ports(flow_.out_devices, flow_.out_interface));
  return flow_.out_interface ? is_interface(match, flow_.out_interface) : is_one_of(match, flow_.out_devices);
}

// ---- addresses

Answer Packet::destination_lies_in(const net::Range& range) const {
  if (destination_) return yes_if(covers(range, {*destination_, *destination_}));
  const bool is_the_nodes = range.first == range.last && flow_.node_addresses.contains(range.first);
  return is_the_nodes ? Answer::no : Answer::may;
}

Answer Packet::destination_lies_in(const Match<net::Prefix>& match) const {
  const bool is_of_another_family = match.value.family() != family();
  return inverted_if(match.inverted,
                     is_of_another_family ? Answer::no : destination_lies_in(net::range_of(match.value)));
}

const ForeignSet* Packet::set_of(const ForeignRule& rule, const Lookup& lookup) const {
  const auto found = sets_.find(name_of(rule.family, rule.table, lookup.set));
  return found == sets_.end() ? nullptr : found->second;
}

// What else than addresses is in its key is not told.
Answer Packet::is_element(const ForeignElement& element, const Lookup& lookup) const {
  const auto size = net::bits(family()) / 8;
  const bool is_whole = element.first.size() == size && element.last.size() == size;
  auto answer = is_whole && (lookup.source_at || lookup.destination_at) ? Answer::yes : Answer::may;
  if (lookup.source_at) {
    const auto range = hull(element, family(), *lookup.source_at);
    answer = both(answer, range ? sources_.lie_in(*range) : Answer::may);
  }
  if (lookup.destination_at) {
    const auto range = hull(element, family(), *lookup.destination_at);
    answer = both(answer, range ? destination_lies_in(*range) : Answer::may);
  }
  return answer;
}

Answer Packet::is_in_set(const ForeignRule& rule, const Lookup& lookup) {
  const auto* const set = set_of(rule, lookup);
  if (set == nullptr) return Answer::may;
  const auto [known, is_new] =
      in_sets_.try_emplace({set, lookup.source_at, lookup.destination_at}, Answer::no);
  if (is_new) {
    for (const auto& element : set->elements) {
      known->second = std::max(known->second, is_element(element, lookup));
      if (known->second == Answer::yes) break;
    }
  }
  return inverted_if(lookup.inverted, known->second);
}

Answer Packet::holds(const ForeignRule& rule, const PacketMark& mark) {
  if (rule.to_local || rule.from_local || (rule.only && *rule.only != family())) return Answer::no;
  auto answer = rule.other_matches.empty() ? Answer::yes : Answer::may;
  if (rule.source) {
    const auto range = net::range_of(rule.source->value);
    answer = both(answer, inverted_if(rule.source->inverted, sources_.lie_in(range)));
  }
  if (rule.destination) answer = both(answer, destination_lies_in(*rule.destination));
  if (rule.in_interface) answer = both(answer, is_in_interface(*rule.in_interface));
  if (rule.out_interface) answer = both(answer, is_out_interface(*rule.out_interface));
  if (rule.protocol) answer = both(answer, Answer::may);
  if (rule.mark) answer = both(answer, inverted_if(rule.mark->inverted, mark.has(rule.mark->value)));
  for (const auto& lookup : rule.lookups) {
    if (answer == Answer::no) break;
    answer = both(answer, is_in_set(rule, lookup));
  }
  return answer;
}

}  // namespace ipmasq::nat
