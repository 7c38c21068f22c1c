#include "netfilter/foreign_nftables_values.hpp"

#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <map>

#include "netfilter/foreign_marks.hpp"

namespace ipmasq::netfilter {

using net::Family;

Register loaded_by_meta(const Attributes& attributes) {
  static const std::map<std::uint32_t, Register> keys{
      {NFT_META_IIFNAME, {.holds = Holds::in_interface, .slots = 4}},
      {NFT_META_OIFNAME, {.holds = Holds::out_interface, .slots = 4}},
      {NFT_META_IIF, {.holds = Holds::in_index}},
      {NFT_META_OIF, {.holds = Holds::out_index}},
      {NFT_META_L4PROTO, {.holds = Holds::protocol}},
      {NFT_META_NFPROTO, {.holds = Holds::address_family}},
      {NFT_META_PROTOCOL, {.holds = Holds::ether_type}},
      {NFT_META_MARK, {.holds = Holds::mark}}};
  const auto found = keys.find(attributes.number(NFTA_META_KEY));
  return found == keys.end() ? Register{} : found->second;
}

Register loaded_by_conntrack(const Attributes& attributes) {
  const auto key = attributes.number(NFTA_CT_KEY);
  return {.holds = key == NFT_CT_MARK    ? Holds::connection_mark
                   : key == NFT_CT_STATE ? Holds::connection_state
                                         : Holds::nothing};
}

Register loaded_by_fib(const Attributes& attributes) {
  const bool is_type = attributes.number(NFTA_FIB_RESULT) == NFT_FIB_RESULT_ADDRTYPE &&
                       attributes.number(NFTA_FIB_FLAGS) == NFTA_FIB_F_DADDR;
  constexpr std::uint32_t back = NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF;
  const auto result = attributes.number(NFTA_FIB_RESULT);
  const bool is_way_back = (result == NFT_FIB_RESULT_OIF || result == NFT_FIB_RESULT_OIFNAME) &&
                           (attributes.number(NFTA_FIB_FLAGS) & (back | NFTA_FIB_F_DADDR)) == back;
  return {.holds = is_type       ? Holds::address_type
                   : is_way_back ? Holds::reverse_path
                                 : Holds::nothing,
          .slots = result == NFT_FIB_RESULT_OIFNAME ? 4U : 1U};
}

nat::MarkChange mark_change_to(const Register& value, Holds own) {
  const bool is_plain = !value.mask;
  const auto mask = is_plain ? all_bits : number_in(*value.mask);
  const auto flip = value.flipped ? number_in(*value.flipped) : 0U;
  if (value.holds == Holds::constant && is_plain && number_in(value.bytes))
    return {.flip = *number_in(value.bytes)};
  const bool is_a_mark = value.holds == Holds::mark || value.holds == Holds::connection_mark;
  if (is_a_mark && mask && flip)
    return value.holds == own ? nat::MarkChange{.keep = *mask, .flip = *flip}
                              : nat::MarkChange{.flip = *flip, .other = *mask};
  return {.unknown = all_bits};
}

std::optional<net::Range> range_in(const Registers& registers, const Attributes& attributes, int first,
                                   int last, Family family) {
  if (attributes[first] == nullptr) return std::nullopt;
  const auto low = registers.at(attributes.number(first));
  const auto high = attributes[last] == nullptr ? low : registers.at(attributes.number(last));
  const auto is_one = [family](const Register& value) {
    return value.holds == Holds::constant && !value.mask && value.bytes.size() == bytes_of(family);
  };
  if (!is_one(low) || !is_one(high)) return std::nullopt;
  net::Range range{{family, {}}, {family, {}}};
  std::ranges::copy(low.bytes, range.first.bytes.begin());
  std::ranges::copy(high.bytes, range.last.bytes.begin());
  return range;
}

std::optional<nat::Queues> queues_in(const Attributes& attributes) {
  if (attributes[NFTA_QUEUE_SREG_QNUM] != nullptr) return std::nullopt;
  const auto number = [&attributes](int type) {
    const auto bytes = attributes.bytes(type);
    return bytes.size() < 2 ? 0U : static_cast<unsigned>(bytes[0] << 8U | bytes[1]);
  };
  const auto first = number(NFTA_QUEUE_NUM);
  const auto last = first + std::max(number(NFTA_QUEUE_TOTAL), 1U) - 1;
  return nat::Queues{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last),
                     (number(NFTA_QUEUE_FLAGS) & NFT_QUEUE_FLAG_BYPASS) != 0};
}

}  // namespace ipmasq::netfilter
