#include "nat/packet.hpp"

#include <netinet/in.h>

#include <array>
#include <bit>
#include <cstring>
#include <string_view>

#include "nat/hook_order.hpp"

namespace ipmasq::nat {

bool is_interface_of(const std::string& pattern, const std::string& name) {
  return pattern.ends_with('+') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
}

namespace {

Answer inverted_if(bool inverted, Answer answer) {
  return inverted ? opposite(answer) : answer;
}

Answer yes_if(bool holds) {
  return holds ? Answer::yes : Answer::no;
}

bool covers(const net::Range& outer, const net::Range& inner) {
  return outer.first.family == inner.first.family && outer.first <= inner.first && inner.last <= outer.last;
}

// What stands at a byte of the first and of the last key of an element.
struct KeyPart {
  std::string_view first;
  std::string_view last;

  bool is_one() const { return first == last; }
};

// nullopt where the keys end before.
std::optional<KeyPart> part_of(const ForeignElement& element, unsigned at, std::size_t size) {
  if (element.first.size() < at + size || element.last.size() < at + size) return std::nullopt;
  return KeyPart{std::string_view(element.first).substr(at, size),
                 std::string_view(element.last).substr(at, size)};
}

net::Range range_of(const KeyPart& part, net::Family family) {
  net::Range range{{family, {}}, {family, {}}};
  std::ranges::copy(part.first, range.first.bytes.begin());
  std::ranges::copy(part.last, range.last.bytes.begin());
  return range;
}

// Parts of a key fill registers of 4 bytes.
constexpr std::size_t padded(std::size_t size) {
  constexpr std::size_t of_register = 4;
  return (size + of_register - 1) / of_register * of_register;
}

// Of what is not known only that nothing is forwarded from or to the node's own lo.
Answer is_interface(const Match<std::string>& match, const std::optional<std::string>& known) {
  if (match.value == "lo") return inverted_if(match.inverted, Answer::no);
  return inverted_if(match.inverted, known ? yes_if(is_interface_of(match.value, *known)) : Answer::may);
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
  if (first == ranges_.end() || !net::overlap(*first, range)) return Answer::no;
  return covers(range, {ranges_.front().first, ranges_.back().last}) ? Answer::yes : Answer::may;
}

namespace {

std::string name_of(const std::string& family, const std::string& table, const std::string& set) {
  return family + '\0' + table + '\0' + set;
}

}  // namespace

Packet::Packet(const Foreign& foreign, const Flow& flow)
    : flow_(flow),
      sources_(flow.sources),
      destination_(flow.destination),
      destinations_(flow.destinations),
      translated_(flow.translated) {
  for (const auto& set : foreign.sets) sets_[name_of(set.family, set.table, set.name)] = &set;
}

void Packet::goes_to(const net::Address& destination) {
  destination_ = destination;
  in_sets_.clear();
}

// ---- interfaces

Answer Packet::enters(const ForeignChain& base) {
  base_ = &base;
  states_ = states_at(base);
  is_translated_ = is_translated_at(base);
  in_sets_.clear();
  const bool comes = base.hook == Hook::ingress;
  const auto& interface = comes ? flow_.in_interface : flow_.out_interface;
  const auto& devices = comes ? flow_.in_devices : flow_.out_devices;
  if (base.family == "bridge") {
    const bool is_known = interface && !devices.empty();
    return is_known ? yes_if(!ports(devices, interface).empty()) : Answer::may;
  }
  if (base.devices.empty()) return Answer::yes;
  // Whatever port it came by, and leaves by.
  if (interface && passes(base.devices, {*interface}) == Answer::yes) return Answer::yes;
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
          return is_interface_of(bound, each);
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

bool Packet::is_translated_at(const ForeignChain& base) const {
  if (translated_.empty() || base.is_nat) return false;
  if (is_answer())
    return base.hook <= Hook::prerouting &&
           (base.hook != Hook::prerouting || base.priority <= destination_nat_priority);
  return base.hook == Hook::egress || (base.hook == Hook::postrouting && base.priority > source_nat_priority);
}

Answer Packet::source_lies_in(const net::Range& range) const {
  if (!is_answer()) return is_translated_ ? translated_.lie_in(range) : sources_.lie_in(range);
  // Whoever answers is none of the pods.
  const bool is_of_pods = std::ranges::any_of(
      flow_.destinations, [&range](const net::Prefix& each) { return covers(net::range_of(each), range); });
  return is_of_pods ? Answer::no : sources_.lie_in(range);
}

Answer Packet::destination_lies_in(const net::Range& range) const {
  if (is_translated_ && is_answer()) return translated_.lie_in(range);
  if (destination_) return yes_if(covers(range, {*destination_, *destination_}));
  if (!destinations_.empty()) return destinations_.lie_in(range);
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

// What else is in its key is not told.
Answer Packet::is_element(const ForeignElement& element, const Lookup& lookup) const {
  constexpr std::size_t name_size = 16;  // IFNAMSIZ
  auto answer = Answer::yes;
  std::size_t told = 0;
  const auto ask = [&](const Place& at, std::size_t size, const auto& question) {
    if (!at) return;
    told += padded(size);
    const auto part = part_of(element, *at, size);
    answer = both(answer, part ? question(*part) : Answer::may);
  };
  const auto name_in = [](const KeyPart& part) {
    return Match<std::string>{std::string(part.first.substr(0, part.first.find('\0')))};
  };
  const auto size = net::bits(family()) / 8;
  ask(lookup.source_at, size, [&](const KeyPart& part) { return source_lies_in(range_of(part, family())); });
  ask(lookup.destination_at, size,
      [&](const KeyPart& part) { return destination_lies_in(range_of(part, family())); });
  ask(lookup.state_at, sizeof states_, [&](const KeyPart& part) {
    std::uint32_t state = 0;
    std::memcpy(&state, part.first.data(), sizeof state);
    return part.is_one() ? has_state(std::has_single_bit(state) ? state : 0) : Answer::may;
  });
  ask(lookup.protocol_at, 1, [&](const KeyPart& part) {
    return is_protocol(static_cast<std::uint8_t>(part.first[0]), static_cast<std::uint8_t>(part.last[0]));
  });
  ask(lookup.in_interface_at, name_size,
      [&](const KeyPart& part) { return part.is_one() ? is_in_interface(name_in(part)) : Answer::may; });
  ask(lookup.out_interface_at, name_size,
      [&](const KeyPart& part) { return part.is_one() ? is_out_interface(name_in(part)) : Answer::may; });
  return told == padded(element.first.size()) && told == padded(element.last.size())
             ? answer
             : both(answer, Answer::may);
}

Answer Packet::is_in_set(const ForeignRule& rule, const Lookup& lookup) {
  const auto* const set = set_of(rule, lookup);
  if (set == nullptr) return Answer::may;
  const auto [known, is_new] =
      in_sets_.try_emplace({set, lookup.source_at, lookup.destination_at, lookup.state_at, lookup.protocol_at,
                            lookup.in_interface_at, lookup.out_interface_at},
                           Answer::no);
  if (is_new) {
    for (const auto& element : set->elements) {
      known->second =
          std::max(known->second, element.is_any_other() ? Answer::yes : is_element(element, lookup));
      if (known->second == Answer::yes) break;
    }
  }
  return inverted_if(lookup.inverted, known->second);
}

// ---- the connection

// Of a bridge, somebody may have it tracked before it comes to the node itself.
std::uint32_t Packet::states_at(const ForeignChain& base) const {
  const bool comes = base.hook <= Hook::prerouting;
  const auto priority = base.hook == Hook::ingress ? conntrack_priority - 1 : base.priority;
  auto states = flow_.state;
  if (untracked_ != Answer::no)
    states = connection_state::untracked | (untracked_ == Answer::yes ? 0 : states);
  if (!comes || priority > conntrack_priority) return states;
  const bool may_be_tracked = priority == conntrack_priority || base.family == "bridge";
  return connection_state::invalid | (may_be_tracked ? states : 0);
}

Answer Packet::has_state(std::uint32_t states) const {
  if ((states_ & ~states) == 0) return Answer::yes;
  const bool may = (states_ & states) != 0 || (states & connection_state::translated) != 0;
  return may ? Answer::may : Answer::no;
}

Answer Packet::is_protocol(std::uint32_t first, std::uint32_t last) const {
  return flow_.protocol ? yes_if(first <= *flow_.protocol && *flow_.protocol <= last) : Answer::may;
}

// A connection begins with SYN; the answer is SYN and ACK, and then ACK; what is sent later has ACK.
Answer Packet::has_flags(const TcpFlags& flags) const {
  if (!flow_.protocol) return Answer::may;
  if (*flow_.protocol != IPPROTO_TCP) return Answer::no;
  constexpr std::uint8_t syn = 0x02;
  constexpr std::uint8_t push = 0x08;
  constexpr std::uint8_t ack = 0x10;
  const auto have = [&flags](std::uint8_t packet) { return (packet & flags.mask) == flags.set; };
  if (flow_.state == connection_state::fresh) return yes_if(have(syn));
  const std::uint8_t beside = is_answer() ? syn : push;
  return have(beside | ack) == have(ack) ? yes_if(have(ack)) : Answer::may;
}

// Pieces are put together before connections are tracked (linux/netfilter_ipv4.h:
// NF_IP_PRI_CONNTRACK_DEFRAG).
Answer Packet::is_fragment() const {
  constexpr std::int32_t defragmentation = -400;
  const bool comes = base_->hook <= Hook::prerouting;
  const auto is_early = comes && (base_->hook == Hook::ingress || base_->family == "bridge" ||
                                  base_->priority <= defragmentation);
  return is_early ? Answer::may : Answer::no;
}

// Of one that is handed on by the bridge alone, both are its interface.
Answer Packet::is_bridged() const {
  const bool is_led_on =
      flow_.in_interface && flow_.out_interface && flow_.in_interface != flow_.out_interface;
  return is_led_on && base_->family != "bridge" ? Answer::no : Answer::may;
}

Answer Packet::holds(const ForeignRule& rule, const Marks& marks) {
  const bool is_for_the_node = is_translated_ && is_answer();
  const bool is_from_the_node = is_translated_ && !is_answer();
  if ((rule.only && *rule.only != family()) || (rule.to_local && !is_for_the_node) ||
      (rule.not_to_local && is_for_the_node) || (rule.from_local && !is_from_the_node))
    return Answer::no;
  auto answer = rule.other_matches.empty() ? Answer::yes : Answer::may;
  if (rule.source) {
    const auto range = net::range_of(rule.source->value);
    answer = both(answer, inverted_if(rule.source->inverted, source_lies_in(range)));
  }
  if (rule.destination) answer = both(answer, destination_lies_in(*rule.destination));
  const auto is_family = [this](const net::Range& range) { return yes_if(net::family(range) == family()); };
  if (const auto& range = rule.source_range) {
    answer = both(answer,
                  inverted_if(range->inverted, both(is_family(range->value), source_lies_in(range->value))));
  }
  if (const auto& range = rule.destination_range) {
    answer = both(answer, inverted_if(range->inverted,
                                      both(is_family(range->value), destination_lies_in(range->value))));
  }
  if (rule.in_interface) answer = both(answer, is_in_interface(*rule.in_interface));
  if (rule.out_interface) answer = both(answer, is_out_interface(*rule.out_interface));
  if (rule.protocol) {
    const auto& [protocol, inverted] = *rule.protocol;
    answer = both(answer, inverted_if(inverted, is_protocol(protocol, protocol)));
  }
  if (rule.states) answer = both(answer, inverted_if(rule.states->inverted, has_state(rule.states->value)));
  if (rule.tcp_flags)
    answer = both(answer, inverted_if(rule.tcp_flags->inverted, has_flags(rule.tcp_flags->value)));
  if (rule.is_fragment) answer = both(answer, inverted_if(!*rule.is_fragment, is_fragment()));
  if (rule.is_bridged) answer = both(answer, inverted_if(!*rule.is_bridged, is_bridged()));
  // Where it is known by which interface it comes, that is the one that the node itself would answer by.
  if (rule.has_way_back) answer = both(answer, flow_.in_interface ? yes_if(*rule.has_way_back) : Answer::may);
  const auto has = [](const PacketMark& mark, const Match<config::Mark>& match) {
    return inverted_if(match.inverted, mark.has(match.value));
  };
  if (rule.mark) answer = both(answer, has(marks.packet, *rule.mark));
  if (rule.connection_mark) {
    // Without a connection nothing matches.
    answer =
        both(answer, both(has_connection(*base_, untracked_), has(marks.connection, *rule.connection_mark)));
  }
  for (const auto& lookup : rule.lookups) {
    if (answer == Answer::no) break;
    answer = both(answer, is_in_set(rule, lookup));
  }
  return answer;
}

}  // namespace ipmasq::nat
