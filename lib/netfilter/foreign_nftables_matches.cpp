#include "netfilter/foreign_nftables_matches.hpp"

#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <utility>

#include "netfilter/foreign_marks.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::ForeignRule;
using nat::Match;
using net::Family;

bool is_address(const Register& value, const Bytes& with, bool inverted,
                std::optional<Match<net::Prefix>>& match) {
  if (match || with.size() > bytes_of(value.family)) return false;
  net::Address address{value.family, {}};
  std::ranges::copy(with, address.bytes.begin());
  const auto length = value.mask ? net::length_of(*value.mask) : static_cast<unsigned>(with.size()) * 8;
  if (value.mask) {
    net::Address ones{value.family, {}};
    std::fill_n(ones.bytes.begin(), bytes_of(value.family), std::uint8_t{0xff});
    const auto prefix_mask = net::network_of(ones, length).address.bytes;
    if (!std::equal(value.mask->begin(), value.mask->end(), prefix_mask.begin())) return false;
  }
  match = {net::network_of(address, length), inverted};
  return true;
}

// Of nft's 10.0.0.1-10.0.0.9 both ends are asked for, one after the other.
bool is_range(const net::Range& range, bool inverted, std::optional<Match<net::Range>>& match) {
  if (!match) {
    match = {range, inverted};
    return true;
  }
  const net::Range both{std::max(match->value.first, range.first), std::min(match->value.last, range.last)};
  if (inverted || match->inverted || both.first > both.last) return false;
  match->value = both;
  return true;
}

std::optional<Match<net::Range>>* range_of(Holds holds, ForeignRule& rule) {
  if (holds == Holds::source) return &rule.source_range;
  return holds == Holds::destination ? &rule.destination_range : nullptr;
}

std::optional<net::Address> address_of(const Register& value, const Bytes& with) {
  if (value.mask || value.flipped || with.size() != bytes_of(value.family)) return std::nullopt;
  net::Address address{value.family, {}};
  std::ranges::copy(with, address.bytes.begin());
  return address;
}

// "At least", "at most".
bool is_end(std::uint32_t operation, const Register& value, const Bytes& with, ForeignRule& rule) {
  auto* const match = range_of(value.holds, rule);
  const auto end = address_of(value, with);
  if (match == nullptr || !end) return false;
  auto range = net::range_of(net::Prefix{{value.family, {}}, 0});
  (operation == NFT_CMP_GTE ? range.first : range.last) = *end;
  return is_range(range, false, *match);
}

bool is_interface(const Bytes& with, bool inverted, std::optional<Match<std::string>>& match) {
  if (match) return false;
  std::string name(with.begin(), std::ranges::find(with, std::uint8_t{0}));
  if (name.size() == with.size()) name += '+';  // the start of a name
  match = {std::move(name), inverted};
  return true;
}

bool is_index(const Bytes& with, bool inverted, std::optional<Match<std::string>>& match) {
  std::array<char, IF_NAMESIZE> name{};
  const auto index = number_in(with);
  if (match || !index || ::if_indextoname(*index, name.data()) == nullptr) return false;
  match = {name.data(), inverted};
  return true;
}

bool is_family(std::uint32_t number, std::uint32_t ipv4, std::uint32_t ipv6, bool inverted, ForeignRule& rule,
               std::optional<Family>& asked) {
  if (number != ipv4 && number != ipv6) return false;
  const auto family = (number == ipv4) != inverted ? Family::ipv4 : Family::ipv6;
  if (!inverted) asked = family;
  rule.only = family;
  return true;
}

bool is_protocol(const Bytes& with, bool inverted, std::optional<Match<std::uint32_t>>& match) {
  if (with.size() != 1) return false;
  const Match<std::uint32_t> asked{with[0], inverted};
  if (match && match != asked) return false;  // what asks for ports asks for it once more
  match = asked;
  return true;
}

bool is_mark(const Register& value, const Bytes& with, bool inverted,
             std::optional<nat::Match<config::Mark>>& match) {
  const auto number = number_in(with);
  const auto mask = value.mask ? number_in(*value.mask) : all_bits;
  if (match || !number || !mask) return false;
  match = {{*number, *mask}, inverted};
  return true;
}

// A packet has one of the bits.
bool is_state(const Register& value, const Bytes& with, bool inverted, ForeignRule& rule) {
  const auto number = number_in(with);
  const auto mask = value.mask ? number_in(*value.mask) : all_bits;
  if (rule.states || !number || !mask) return false;
  if (*number == 0) {
    rule.states = {*mask, !inverted};
  } else {
    const bool can_be = std::has_single_bit(*number) && (*number & *mask) != 0;
    rule.states = {can_be ? *number : 0, inverted};
  }
  return true;
}

bool are_tcp_flags(const Register& value, const Bytes& with, bool inverted, ForeignRule& rule) {
  if (rule.tcp_flags || with.size() != 1 || (value.mask && value.mask->size() != 1)) return false;
  constexpr std::uint8_t every = 0xff;
  rule.tcp_flags = {{value.mask ? (*value.mask)[0] : every, with[0]}, inverted};
  return true;
}

// The first piece, and what came whole, has an offset of 0 (netinet/ip.h: IP_OFFMASK).
bool is_fragment(const Register& value, const Bytes& with, bool inverted, ForeignRule& rule) {
  const bool asks_for_offset = value.mask && *value.mask == Bytes{0x1f, 0xff};
  const bool asks_for_none = std::ranges::all_of(with, [](std::uint8_t byte) { return byte == 0; });
  if (!asks_for_offset || !asks_for_none || rule.is_fragment) return false;
  rule.is_fragment = inverted;
  return true;
}

// Whether there is a way back, and not which.
bool is_reverse_path(const Bytes& with, bool inverted, ForeignRule& rule) {
  const bool asks_for_none = std::ranges::all_of(with, [](std::uint8_t byte) { return byte == 0; });
  if (!asks_for_none || rule.has_way_back) return false;
  rule.has_way_back = inverted;
  return true;
}

// What each register says that has a name of its own in a lookup.
std::optional<unsigned>* place_of(Holds holds, nat::Lookup& lookup) {
  switch (holds) {
    case Holds::source:
      return &lookup.source_at;
    case Holds::destination:
      return &lookup.destination_at;
    case Holds::connection_state:
      return &lookup.state_at;
    case Holds::protocol:
      return &lookup.protocol_at;
    case Holds::in_interface:
      return &lookup.in_interface_at;
    case Holds::out_interface:
      return &lookup.out_interface_at;
    default:
      return nullptr;
  }
}

}  // namespace

bool read_comparison(const Attributes& attributes, const Register& value, ForeignRule& rule,
                     std::optional<Family>& family) {
  const auto operation = attributes.number(NFTA_CMP_OP);
  const auto with = value_in(attributes[NFTA_CMP_DATA]);
  const bool inverted = operation == NFT_CMP_NEQ;
  if (operation == NFT_CMP_GTE || operation == NFT_CMP_LTE) return is_end(operation, value, with, rule);
  if (operation != NFT_CMP_EQ && !inverted) return false;
  const bool is_flipped =
      value.flipped && std::ranges::any_of(*value.flipped, [](std::uint8_t byte) { return byte != 0; });
  if (is_flipped) return false;
  switch (value.holds) {
    case Holds::source:
      return is_address(value, with, inverted, rule.source);
    case Holds::destination:
      return is_address(value, with, inverted, rule.destination);
    case Holds::in_interface:
      return is_interface(with, inverted, rule.in_interface);
    case Holds::out_interface:
      return is_interface(with, inverted, rule.out_interface);
    case Holds::in_index:
      return is_index(with, inverted, rule.in_interface);
    case Holds::out_index:
      return is_index(with, inverted, rule.out_interface);
    case Holds::protocol:
      return is_protocol(with, inverted, rule.protocol);
    case Holds::tcp_flags:
      return are_tcp_flags(value, with, inverted, rule);
    case Holds::fragment_offset:
      return is_fragment(value, with, inverted, rule);
    case Holds::address_family:
      return is_family(with.size() == 1 ? with[0] : 0, NFPROTO_IPV4, NFPROTO_IPV6, inverted, rule, family);
    case Holds::ether_type:
      return is_family(with.size() == 2 ? (std::uint32_t{with[0]} << 8U) | with[1] : 0, ETH_P_IP, ETH_P_IPV6,
                       inverted, rule, family);
    case Holds::mark:
      return is_mark(value, with, inverted, rule.mark);
    case Holds::connection_mark:
      return is_mark(value, with, inverted, rule.connection_mark);
    case Holds::address_type:
      if (number_in(with) != std::uint32_t{RTN_LOCAL}) return false;
      (inverted ? rule.not_to_local : rule.to_local) = true;
      return true;
    case Holds::connection_state:
      return is_state(value, with, inverted, rule);
    case Holds::reverse_path:
      return is_reverse_path(with, inverted, rule);
    default:
      return false;
  }
}

bool read_range(const Attributes& attributes, const Register& value, ForeignRule& rule) {
  auto* const match = range_of(value.holds, rule);
  const auto first = address_of(value, value_in(attributes[NFTA_RANGE_FROM_DATA]));
  const auto last = address_of(value, value_in(attributes[NFTA_RANGE_TO_DATA]));
  if (match == nullptr || !first || !last) return false;
  return is_range({*first, *last}, attributes.number(NFTA_RANGE_OP) == NFT_RANGE_NEQ, *match);
}

nat::Lookup lookup_in(const Attributes& attributes, const Registers& registers, std::size_t key_bytes,
                      std::optional<Family> family, ForeignRule& rule) {
  const auto first = slot_of(attributes.number(NFTA_LOOKUP_SREG));
  nat::Lookup lookup{.set = attributes.text(NFTA_LOOKUP_SET),
                     .inverted = (attributes.number(NFTA_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV) != 0};
  // Behind the key stands what earlier expressions left.
  const auto end = first + (key_bytes == 0 ? 0 : slots_of(key_bytes));
  for (const auto& [slot, value] : registers.by_slot()) {
    const bool is_address = value.holds == Holds::source || value.holds == Holds::destination;
    const bool is_whole =
        !value.mask && (!is_address || value.slots * NFT_REG32_SIZE == bytes_of(value.family));
    if (slot < first || slot + value.slots > end || !is_whole) continue;
    auto* const place = place_of(value.holds, lookup);
    if (place != nullptr) *place = (slot - first) * static_cast<unsigned>(NFT_REG32_SIZE);
    if (is_address && !family) rule.only = value.family;
  }
  return lookup;
}

}  // namespace ipmasq::netfilter
