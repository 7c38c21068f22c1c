#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"
#include "netfilter/nftables_rule.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::nftables::ObservedRule;
using net::Family;

// What a register holds, as far as ip-masq's rules load it.
enum class Holds {
  nothing,
  address_family,
  mark,
  protocol,
  source,
  destination,
  redirection,
  address_type,
  random,
  constant
};

struct Register {
  Holds holds = Holds::nothing;
  Bytes bytes = {};  // of a constant
  std::optional<Bytes> mask = {};
  std::uint32_t length = 0;    // of an address
  std::uint32_t modulus = 0;   // of a random number
  bool is_big_endian = false;  // of a random number
};

template <typename Number>
std::optional<Number> number_in(const Bytes& bytes) {
  Number number{};
  if (bytes.size() != sizeof number) return std::nullopt;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

std::optional<net::Address> address_in(Family family, const Bytes& bytes) {
  if (bytes.size() > bytes_of(family)) return std::nullopt;
  net::Address address{family, {}};
  std::ranges::copy(bytes, address.bytes.begin());
  return address;
}

class RuleReader {
 public:
  ObservedRule read(const nlattr* expressions) {
    for_each(expressions, [this](const nlattr* item) { read_expression(Attributes(item)); });
    if (counters_ != 1) observed_.rule.other += counters_ == 0 ? " (no counter)" : " (several counters)";
    return observed_;
  }

 private:
  void read_expression(const Attributes& expression) {
    using Reader = bool (RuleReader::*)(const Attributes&);
    static const std::map<std::string, Reader> readers{
        {"meta", &RuleReader::meta},           {"payload", &RuleReader::payload},
        {"bitwise", &RuleReader::bitwise},     {"cmp", &RuleReader::compare},
        {"lookup", &RuleReader::lookup},       {"counter", &RuleReader::counter},
        {"immediate", &RuleReader::immediate}, {"nat", &RuleReader::source_nat},
        {"masq", &RuleReader::masquerade},     {"fib", &RuleReader::fib},
        {"ct", &RuleReader::conntrack},        {"numgen", &RuleReader::random},
        {"byteorder", &RuleReader::byteorder}};
    const auto name = expression.text(NFTA_EXPR_NAME);
    const auto reader = readers.find(name);
    const Attributes attributes(expression[NFTA_EXPR_DATA]);
    if (has_statement() || reader == readers.end() || !(this->*reader->second)(attributes)) {
      observed_.rule.other += " (" + name + ")";
    }
  }

  bool has_statement() const {
    return !std::holds_alternative<nat::nftables::NoStatement>(observed_.rule.statement);
  }

  Register& register_at(std::uint32_t number) { return registers_[number]; }

  // ---- loads

  bool meta(const Attributes& attributes) {
    static const std::map<std::uint32_t, Holds> keys{{NFT_META_NFPROTO, Holds::address_family},
                                                     {NFT_META_MARK, Holds::mark},
                                                     {NFT_META_L4PROTO, Holds::protocol}};
    const auto key = keys.find(attributes.number(NFTA_META_KEY));
    if (key == keys.end() || attributes[NFTA_META_DREG] == nullptr) return false;
    register_at(attributes.number(NFTA_META_DREG)) = {.holds = key->second};
    return true;
  }

  bool payload(const Attributes& attributes) {
    if (!family_ || attributes[NFTA_PAYLOAD_DREG] == nullptr ||
        attributes.number(NFTA_PAYLOAD_BASE) != NFT_PAYLOAD_NETWORK_HEADER) {
      return false;
    }
    const auto offset = attributes.number(NFTA_PAYLOAD_OFFSET);
    const auto length = attributes.number(NFTA_PAYLOAD_LEN);
    const bool is_source = offset == source_offset(*family_);
    if ((!is_source && offset != destination_offset(*family_)) || length > bytes_of(*family_)) return false;
    register_at(attributes.number(NFTA_PAYLOAD_DREG)) = {
        .holds = is_source ? Holds::source : Holds::destination, .length = length};
    return true;
  }

  bool fib(const Attributes& attributes) {
    if (attributes.number(NFTA_FIB_RESULT) != NFT_FIB_RESULT_ADDRTYPE ||
        attributes.number(NFTA_FIB_FLAGS) != NFTA_FIB_F_DADDR) {
      return false;
    }
    register_at(attributes.number(NFTA_FIB_DREG)) = {.holds = Holds::address_type};
    return true;
  }

  bool conntrack(const Attributes& attributes) {
    if (attributes.number(NFTA_CT_KEY) != NFT_CT_STATUS || attributes[NFTA_CT_DREG] == nullptr) return false;
    register_at(attributes.number(NFTA_CT_DREG)) = {.holds = Holds::redirection};
    return true;
  }

  bool random(const Attributes& attributes) {
    if (attributes.number(NFTA_NG_TYPE) != NFT_NG_RANDOM || attributes.number(NFTA_NG_OFFSET) != 0)
      return false;
    register_at(attributes.number(NFTA_NG_DREG)) = {.holds = Holds::random,
                                                    .modulus = attributes.number(NFTA_NG_MODULUS)};
    return true;
  }

  bool byteorder(const Attributes& attributes) {
    const auto number = attributes.number(NFTA_BYTEORDER_SREG);
    auto& source = register_at(number);
    if (source.holds != Holds::random || number != attributes.number(NFTA_BYTEORDER_DREG) ||
        attributes.number(NFTA_BYTEORDER_OP) != NFT_BYTEORDER_HTON ||
        attributes.number(NFTA_BYTEORDER_SIZE) != sizeof(std::uint32_t)) {
      return false;
    }
    source.is_big_endian = true;
    return true;
  }

  bool bitwise(const Attributes& attributes) {
    const auto number = attributes.number(NFTA_BITWISE_SREG);
    auto& source = register_at(number);
    const auto toggled = value_in(attributes[NFTA_BITWISE_XOR]);
    const bool toggles = std::ranges::any_of(toggled, [](std::uint8_t byte) { return byte != 0; });
    if (number != attributes.number(NFTA_BITWISE_DREG) || source.mask || toggles ||
        attributes.number(NFTA_BITWISE_OP) != NFT_BITWISE_BOOL) {
      return false;
    }
    source.mask = value_in(attributes[NFTA_BITWISE_MASK]);
    return true;
  }

  // ---- matches

  bool compare(const Attributes& attributes) {
    const auto& source = register_at(attributes.number(NFTA_CMP_SREG));
    const auto operation = attributes.number(NFTA_CMP_OP);
    const auto value = value_in(attributes[NFTA_CMP_DATA]);
    auto& rule = observed_.rule;
    if (source.holds == Holds::redirection) return is_redirection(source, operation, value);
    if (source.holds == Holds::random) return is_share(source, operation, value);
    if (operation != NFT_CMP_EQ) return false;
    switch (source.holds) {
      case Holds::address_family:
        return is_family(value);
      case Holds::destination:
        return is_destination(source, value);
      case Holds::mark: {
        const auto number = number_in<std::uint32_t>(value);
        const auto mask = source.mask ? number_in<std::uint32_t>(*source.mask) : config::Mark{}.mask;
        if (!number || !mask || rule.mark) return false;
        rule.mark = {*number, *mask};
        return true;
      }
      case Holds::protocol: {
        const auto* const found = std::ranges::find_if(
            nat::protocols_with_ports,
            [&value](nat::Protocol protocol) { return value == Bytes{static_cast<std::uint8_t>(protocol)}; });
        if (found == nat::protocols_with_ports.end() || rule.protocol) return false;
        rule.protocol = *found;
        return true;
      }
      case Holds::address_type: {
        const bool is_new = !rule.to_local && number_in<std::uint32_t>(value) == std::uint32_t{RTN_LOCAL};
        rule.to_local = true;
        return is_new;
      }
      default:
        return false;
    }
  }

  bool is_family(const Bytes& value) {
    const auto is = [&value](Family family) {
      return value == Bytes{static_cast<std::uint8_t>(protocol_family(family))};
    };
    if (is(Family::ipv4)) family_ = Family::ipv4;
    if (is(Family::ipv6)) family_ = Family::ipv6;
    return is(Family::ipv4) || is(Family::ipv6);
  }

  bool is_destination(const Register& source, const Bytes& value) {
    const auto address = address_in(*family_, value);
    const auto length = source.mask ? net::length_of(*source.mask) : source.length * 8;
    const bool has_size_of_mask = !source.mask || source.mask->size() == value.size();
    if (!address || !has_size_of_mask || observed_.rule.destination) return false;
    const auto prefix = net::network_of(*address, length);
    net::Address ones{*family_, {}};
    ones.bytes.fill(0xff);
    const auto mask = net::network_of(ones, length).address.bytes;
    const bool is_prefix = !source.mask || std::equal(source.mask->begin(), source.mask->end(), mask.begin());
    if (prefix.address != *address || !is_prefix) return false;
    observed_.rule.destination = prefix;
    return true;
  }

  bool is_redirection(const Register& source, std::uint32_t operation, const Bytes& value) {
    const bool is_right = operation == NFT_CMP_NEQ && number_in<std::uint32_t>(value) == 0U && source.mask &&
                          number_in<std::uint32_t>(*source.mask) == std::uint32_t{IPS_DST_NAT} &&
                          !observed_.rule.redirected;
    observed_.rule.redirected = true;
    return is_right;
  }

  bool is_share(const Register& source, std::uint32_t operation, const Bytes& value) {
    const auto below = number_in<std::uint32_t>(value);
    if (operation != NFT_CMP_LT || !source.is_big_endian || !below || observed_.rule.share) return false;
    observed_.rule.share = {ntohl(*below), source.modulus};
    return true;
  }

  bool lookup(const Attributes& attributes) {
    const auto& source = register_at(attributes.number(NFTA_LOOKUP_SREG));
    const bool is_plain = !source.mask && family_ && source.length == bytes_of(*family_) &&
                          attributes.number(NFTA_LOOKUP_FLAGS) == 0;
    const auto set = attributes.text(NFTA_LOOKUP_SET);
    const bool is_map = attributes[NFTA_LOOKUP_DREG] != nullptr;
    if (is_plain && is_map && source.holds == Holds::source) {
      observed_.rule.statement = nat::nftables::Dispatch{*family_, set};
      return attributes.number(NFTA_LOOKUP_DREG) == NFT_REG_VERDICT;
    }
    if (!is_plain || is_map || source.holds != Holds::destination || observed_.rule.destination_in)
      return false;
    observed_.rule.destination_in = {*family_, set};
    return true;
  }

  // ---- statements

  bool counter(const Attributes& attributes) {
    ++counters_;
    observed_.packets = attributes.long_number(NFTA_COUNTER_PACKETS);
    observed_.bytes = attributes.long_number(NFTA_COUNTER_BYTES);
    return true;
  }

  bool immediate(const Attributes& attributes) {
    const auto into = attributes.number(NFTA_IMMEDIATE_DREG);
    if (into != NFT_REG_VERDICT) {
      register_at(into) = {.holds = Holds::constant, .bytes = value_in(attributes[NFTA_IMMEDIATE_DATA])};
      return true;
    }
    const Attributes data(attributes[NFTA_IMMEDIATE_DATA]);
    const Attributes verdict(data[NFTA_DATA_VERDICT]);
    if (static_cast<std::int32_t>(verdict.number(NFTA_VERDICT_CODE)) != NFT_RETURN) return false;
    observed_.rule.statement = nat::nftables::Return{};
    return true;
  }

  // The ports in the registers that `first` and `last` name.
  bool read_ports(const Attributes& attributes, int first, int last, nat::nftables::SourceNat& nat) {
    if (attributes[first] == nullptr) return attributes[last] == nullptr;
    const auto lowest = number_in<std::uint16_t>(register_at(attributes.number(first)).bytes);
    const auto highest = number_in<std::uint16_t>(register_at(attributes.number(last)).bytes);
    if (!lowest || !highest) return false;
    nat.ports = {ntohs(*lowest), ntohs(*highest)};
    return true;
  }

  // Whether the flags are such that ip-masq writes, those aside that follow from the registers.
  static bool read_flags(std::uint32_t flags, nat::nftables::SourceNat& nat) {
    constexpr std::uint32_t implied = NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED;
    nat.random_fully = (flags & NF_NAT_RANGE_PROTO_RANDOM_FULLY) != 0;
    return (flags & ~(implied | NF_NAT_RANGE_PROTO_RANDOM_FULLY)) == 0;
  }

  bool masquerade(const Attributes& attributes) {
    nat::nftables::SourceNat nat;
    const bool is_right = read_ports(attributes, NFTA_MASQ_REG_PROTO_MIN, NFTA_MASQ_REG_PROTO_MAX, nat) &&
                          read_flags(attributes.number(NFTA_MASQ_FLAGS), nat);
    observed_.rule.statement = nat;
    return is_right;
  }

  bool source_nat(const Attributes& attributes) {
    const auto family =
        attributes.number(NFTA_NAT_FAMILY) == protocol_family(Family::ipv4) ? Family::ipv4 : Family::ipv6;
    const auto lowest = attributes.number(NFTA_NAT_REG_ADDR_MIN);
    const bool is_one =
        attributes[NFTA_NAT_REG_ADDR_MAX] == nullptr || attributes.number(NFTA_NAT_REG_ADDR_MAX) == lowest;
    const auto& source = register_at(lowest);
    nat::nftables::SourceNat nat;
    const bool is_right = attributes.number(NFTA_NAT_TYPE) == NFT_NAT_SNAT && is_one &&
                          attributes.number(NFTA_NAT_FAMILY) == protocol_family(family) &&
                          read_ports(attributes, NFTA_NAT_REG_PROTO_MIN, NFTA_NAT_REG_PROTO_MAX, nat) &&
                          read_flags(attributes.number(NFTA_NAT_FLAGS), nat);
    const bool is_whole_source =
        source.holds == Holds::source && !source.mask && source.length == bytes_of(family);
    if (is_whole_source && family_ == family && !nat.ports && !nat.random_fully) {
      observed_.rule.statement = nat::nftables::KeepSource{family};
      return is_right;
    }
    nat.to = address_in(family, source.bytes);
    const bool has_address = nat.to.has_value() && source.bytes.size() == bytes_of(family);
    observed_.rule.statement = nat;
    return is_right && has_address;
  }

  ObservedRule observed_;
  std::optional<Family> family_;
  std::map<std::uint32_t, Register> registers_;
  int counters_ = 0;
};

}  // namespace

ObservedRule read_expressions(const nlattr* expressions) {
  return RuleReader().read(expressions);
}

}  // namespace ipmasq::netfilter
