// A rule is a list of expressions: some load a value into a register, some change it there, some match it,
// and the last one acts. What was loaded is remembered; a match turns it into a part of nat::nftables::Rule.
// linux/netfilter/nf_tables.h; which expressions nft makes of a rule: nft --debug=netlink.
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"
#include "netfilter/nftables_registers.hpp"
#include "netfilter/nftables_rule.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::nftables::ObservedRule;
using net::Family;

template <typename Number>
std::optional<Number> number_in(const Bytes& bytes) {
  Number number{};
  if (bytes.size() != sizeof number) return std::nullopt;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

// `bytes` are an address, or its beginning.
net::Address address_in(Family family, const Bytes& bytes) {
  net::Address address{family, {}};
  std::copy_n(bytes.begin(), std::min<std::size_t>(bytes.size(), bytes_of(family)), address.bytes.begin());
  return address;
}

// The prefix that is left of an address when it is compared with `value`; nullopt where what is compared is
// no prefix.
std::optional<net::Prefix> prefix_in(Family family, const Load& load, const Bytes& value) {
  if (value.empty() || value.size() > load.length || load.length > bytes_of(family)) return std::nullopt;
  const auto length = load.mask ? net::length_of(*load.mask) : static_cast<unsigned>(value.size()) * 8;
  const auto prefix = net::network_of(address_in(family, value), length);
  if (prefix.address != address_in(family, value)) return std::nullopt;
  if (!load.mask) return prefix;
  net::Address ones{family, {}};
  ones.bytes.fill(0xff);
  const auto mask = net::network_of(ones, length).address;
  const bool is_prefix = load.mask->size() == value.size() && address_in(family, *load.mask) == mask;
  return is_prefix ? std::optional(prefix) : std::nullopt;
}

// Whether the part of the rule was not there yet: a rule of ours has none twice.
template <typename Part, typename Value>
bool set_once(std::optional<Part>& part, Value value) {
  if (part) return false;
  part = std::move(value);
  return true;
}
bool set_once(bool& part) {
  return !std::exchange(part, true);
}

// Each function takes one expression; false where ip-masq never writes it so.
class ExpressionReader {
 public:
  ObservedRule read(const nlattr* expressions) {
    for_each(expressions, [this](const nlattr* item) { read_expression(Attributes(item)); });
    if (family_ && !family_matters_) rule_.other += " (meta nfproto)";
    if (counters_ != 1) rule_.other += counters_ == 0 ? " (no counter)" : " (several counters)";
    return std::move(observed_);
  }

 private:
  void read_expression(const Attributes& expression) {
    using Reader = bool (ExpressionReader::*)(const Attributes&);
    static const std::map<std::string, Reader> readers{{"meta", &ExpressionReader::meta},
                                                       {"payload", &ExpressionReader::payload},
                                                       {"fib", &ExpressionReader::fib},
                                                       {"ct", &ExpressionReader::conntrack},
                                                       {"numgen", &ExpressionReader::random},
                                                       {"bitwise", &ExpressionReader::bitwise},
                                                       {"byteorder", &ExpressionReader::byteorder},
                                                       {"cmp", &ExpressionReader::compare},
                                                       {"lookup", &ExpressionReader::lookup},
                                                       {"counter", &ExpressionReader::counter},
                                                       {"immediate", &ExpressionReader::immediate},
                                                       {"masq", &ExpressionReader::masquerade},
                                                       {"nat", &ExpressionReader::source_nat}};
    const auto name = expression.text(NFTA_EXPR_NAME);
    const auto reader = readers.find(name);
    const Attributes attributes(expression[NFTA_EXPR_DATA]);
    if (has_statement() || reader == readers.end() || !(this->*reader->second)(attributes))
      rule_.other += " (" + name + ")";
  }

  bool has_statement() const { return !std::holds_alternative<nat::nftables::NoStatement>(rule_.statement); }

  // ---- loads

  bool meta(const Attributes& attributes) {
    static const std::map<std::uint32_t, Load> loads{
        {NFT_META_NFPROTO, {.holds = Holds::address_family, .length = sizeof(std::uint8_t)}},
        {NFT_META_MARK, {.holds = Holds::mark, .length = sizeof(std::uint32_t)}},
        {NFT_META_L4PROTO, {.holds = Holds::protocol, .length = sizeof(std::uint8_t)}},
        {NFT_META_OIFNAME, {.holds = Holds::out_interface, .length = interface_name_size}}};
    const auto load = loads.find(attributes.number(NFTA_META_KEY));
    if (load == loads.end() || attributes[NFTA_META_DREG] == nullptr) return false;
    registers_.load(attributes.number(NFTA_META_DREG), load->second);
    return true;
  }

  bool payload(const Attributes& attributes) {
    const bool is_of_network_header = attributes[NFTA_PAYLOAD_DREG] != nullptr &&
                                      attributes.number(NFTA_PAYLOAD_BASE) == NFT_PAYLOAD_NETWORK_HEADER;
    if (!family_ || !is_of_network_header) return false;
    const auto offset = attributes.number(NFTA_PAYLOAD_OFFSET);
    const auto length = attributes.number(NFTA_PAYLOAD_LEN);
    const bool is_source = offset == source_offset(*family_);
    if ((!is_source && offset != destination_offset(*family_)) || length > bytes_of(*family_)) return false;
    registers_.load(attributes.number(NFTA_PAYLOAD_DREG),
                    {.holds = is_source ? Holds::source : Holds::destination, .length = length});
    return true;
  }

  bool fib(const Attributes& attributes) {
    if (attributes.number(NFTA_FIB_RESULT) != NFT_FIB_RESULT_ADDRTYPE ||
        attributes.number(NFTA_FIB_FLAGS) != NFTA_FIB_F_DADDR)
      return false;
    registers_.load(attributes.number(NFTA_FIB_DREG),
                    {.holds = Holds::address_type, .length = sizeof(std::uint32_t)});
    return true;
  }

  bool conntrack(const Attributes& attributes) {
    const auto key = attributes.number(NFTA_CT_KEY);
    const auto into = attributes.number(NFTA_CT_DREG);
    if (attributes[NFTA_CT_DREG] == nullptr) return false;
    if (key == NFT_CT_STATUS || key == NFT_CT_STATE) {
      const auto holds = key == NFT_CT_STATUS ? Holds::redirection : Holds::state;
      registers_.load(into, {.holds = holds, .length = sizeof(std::uint32_t)});
      return true;
    }
    const auto direction = attributes.bytes(NFTA_CT_DIRECTION);
    const bool is_original = direction.size() == 1 && direction.front() == IP_CT_DIR_ORIGINAL;
    const bool is_destination = (key == NFT_CT_DST_IP && family_ == Family::ipv4) ||
                                (key == NFT_CT_DST_IP6 && family_ == Family::ipv6);
    if (!is_original || !is_destination) return false;
    registers_.load(into, {.holds = Holds::sent_to, .length = bytes_of(*family_)});
    return true;
  }

  bool random(const Attributes& attributes) {
    if (attributes.number(NFTA_NG_TYPE) != NFT_NG_RANDOM || attributes.number(NFTA_NG_OFFSET) != 0)
      return false;
    registers_.load(attributes.number(NFTA_NG_DREG), {.holds = Holds::random,
                                                      .length = sizeof(std::uint32_t),
                                                      .modulus = attributes.number(NFTA_NG_MODULUS)});
    return true;
  }

  // ---- changes of what was loaded

  bool bitwise(const Attributes& attributes) {
    const auto number = attributes.number(NFTA_BITWISE_SREG);
    auto& load = registers_.at(number);
    auto mask = value_in(attributes[NFTA_BITWISE_MASK]);
    const auto toggled = value_in(attributes[NFTA_BITWISE_XOR]);
    const bool toggles = std::ranges::any_of(toggled, [](std::uint8_t byte) { return byte != 0; });
    if (load.holds == Holds::nothing || number != attributes.number(NFTA_BITWISE_DREG) || toggles ||
        mask.size() != load.length || attributes.number(NFTA_BITWISE_OP) != NFT_BITWISE_BOOL)
      return false;
    return set_once(load.mask, std::move(mask));
  }

  bool byteorder(const Attributes& attributes) {
    const auto number = attributes.number(NFTA_BYTEORDER_SREG);
    auto& load = registers_.at(number);
    if (load.holds != Holds::random || number != attributes.number(NFTA_BYTEORDER_DREG) ||
        attributes.number(NFTA_BYTEORDER_OP) != NFT_BYTEORDER_HTON ||
        attributes.number(NFTA_BYTEORDER_SIZE) != sizeof(std::uint32_t))
      return false;
    return set_once(load.is_big_endian);
  }

  // ---- matches

  bool compare(const Attributes& attributes) {
    const auto& load = registers_.at(attributes.number(NFTA_CMP_SREG));
    const auto value = value_in(attributes[NFTA_CMP_DATA]);
    const auto operation = attributes.number(NFTA_CMP_OP);
    const bool is_equal = operation == NFT_CMP_EQ;
    switch (load.holds) {
      case Holds::address_family:
        return is_equal && is_family(value);
      case Holds::source:
        return is_equal && is_prefix(load, value, rule_.source);
      case Holds::destination:
        return is_equal && is_prefix(load, value, rule_.destination);
      case Holds::sent_to:
        return operation == NFT_CMP_NEQ && is_prefix(load, value, rule_.not_sent_to);
      case Holds::mark:
        return is_equal && is_mark(load, value);
      case Holds::out_interface:
        return is_equal && is_out_interface(value);
      case Holds::protocol:
        return is_equal && is_protocol(value);
      case Holds::address_type:
        return is_equal && number_in<std::uint32_t>(value) == std::uint32_t{RTN_LOCAL} &&
               set_once(rule_.to_local);
      case Holds::redirection:
        return operation == NFT_CMP_NEQ && has_bit(IPS_DST_NAT, load, value) && set_once(rule_.redirected);
      case Holds::state:
        return operation == NFT_CMP_NEQ && has_bit(NF_CT_STATE_INVALID_BIT, load, value) &&
               set_once(rule_.is_invalid);
      case Holds::random:
        return operation == NFT_CMP_LT && is_share(load, value);
      default:
        return false;
    }
  }

  bool is_family(const Bytes& value) {
    for (const auto family : {Family::ipv4, Family::ipv6}) {
      if (value != Bytes{static_cast<std::uint8_t>(protocol_family(family))}) continue;
      const bool is_new_or_same = !family_ || family_ == family;
      family_ = family;
      return is_new_or_same;
    }
    return false;
  }

  bool is_prefix(const Load& load, const Bytes& value, std::optional<net::Prefix>& part) {
    const auto prefix = prefix_in(*family_, load, value);
    family_matters_ = true;
    return prefix && set_once(part, *prefix);
  }

  bool is_mark(const Load& load, const Bytes& value) {
    const auto number = number_in<std::uint32_t>(value);
    const auto mask = load.mask ? number_in<std::uint32_t>(*load.mask) : config::Mark{}.mask;
    return number && mask && set_once(rule_.mark, config::Mark{*number, *mask});
  }

  bool is_protocol(const Bytes& value) {
    const auto* const found = std::ranges::find_if(
        nat::protocols_with_ports,
        [&value](nat::Protocol protocol) { return value == Bytes{static_cast<std::uint8_t>(protocol)}; });
    return found != nat::protocols_with_ports.end() && set_once(rule_.protocol, *found);
  }

  // Less than a whole field is what a name begins with.
  bool is_out_interface(const Bytes& value) {
    const auto end = std::ranges::find(value, 0);
    const bool is_whole = value.size() == interface_name_size && end != value.begin() &&
                          std::ranges::all_of(end, value.end(), [](std::uint8_t byte) { return byte == 0; });
    return is_whole && end != value.end() && set_once(rule_.out_interface, std::string(value.begin(), end));
  }

  static bool has_bit(std::uint32_t bit, const Load& load, const Bytes& value) {
    return number_in<std::uint32_t>(value) == 0U && load.mask && number_in<std::uint32_t>(*load.mask) == bit;
  }

  bool is_share(const Load& load, const Bytes& value) {
    const auto below = number_in<std::uint32_t>(value);
    return below && load.is_big_endian &&
           set_once(rule_.share, nat::nftables::Share{ntohl(*below), load.modulus});
  }

  bool lookup(const Attributes& attributes) {
    const auto number = attributes.number(NFTA_LOOKUP_SREG);
    if (!family_ || attributes.number(NFTA_LOOKUP_FLAGS) != 0) return false;
    family_matters_ = true;
    const nat::nftables::InSet in{*family_, attributes.text(NFTA_LOOKUP_SET)};
    const auto* const into = attributes[NFTA_LOOKUP_DREG];
    if (holds_whole(number, Holds::destination)) return into == nullptr && set_once(rule_.destination_in, in);
    if (!holds_whole(number, Holds::source)) return false;
    if (into == nullptr) {
      return number == NFT_REG_1 && holds_whole(register_behind(*family_), Holds::destination) &&
             set_once(rule_.pair_in, in);
    }
    rule_.statement = nat::nftables::Dispatch{in.family, in.set};
    return attributes.number(NFTA_LOOKUP_DREG) == NFT_REG_VERDICT;
  }

  bool holds_whole(std::uint32_t number, Holds what) {
    const auto& load = registers_.at(number);
    return load.holds == what && !load.mask && family_ && load.length == bytes_of(*family_);
  }

  // ---- statements

  bool counter(const Attributes& attributes) {
    ++counters_;
    observed_.packets = attributes.long_number(NFTA_COUNTER_PACKETS);
    observed_.bytes = attributes.long_number(NFTA_COUNTER_BYTES);
    return true;
  }

  // A verdict, or a constant that a later expression takes.
  bool immediate(const Attributes& attributes) {
    const auto into = attributes.number(NFTA_IMMEDIATE_DREG);
    const auto* const data = attributes[NFTA_IMMEDIATE_DATA];
    if (into != NFT_REG_VERDICT) {
      auto constant = value_in(data);
      const auto length = constant.size();
      registers_.load(into, {.holds = Holds::constant, .length = length, .constant = std::move(constant)});
      return true;
    }
    const Attributes nest(data);
    const Attributes verdict(nest[NFTA_DATA_VERDICT]);
    switch (static_cast<std::int32_t>(verdict.number(NFTA_VERDICT_CODE))) {
      case NFT_RETURN:
        rule_.statement = nat::nftables::Return{};
        return true;
      case NF_DROP:
        rule_.statement = nat::nftables::Drop{};
        return true;
      default:
        return false;
    }
  }

  bool masquerade(const Attributes& attributes) {
    nat::SourceNat nat;
    const bool is_right = read_ports(attributes, NFTA_MASQ_REG_PROTO_MIN, NFTA_MASQ_REG_PROTO_MAX, nat) &&
                          read_flags(attributes.number(NFTA_MASQ_FLAGS), nat);
    rule_.statement = nat;
    return is_right;
  }

  bool source_nat(const Attributes& attributes) {
    const auto number = attributes.number(NFTA_NAT_FAMILY);
    const auto family = number == protocol_family(Family::ipv4) ? Family::ipv4 : Family::ipv6;
    const auto lowest = attributes.number(NFTA_NAT_REG_ADDR_MIN);
    const auto highest =
        attributes[NFTA_NAT_REG_ADDR_MAX] == nullptr ? lowest : attributes.number(NFTA_NAT_REG_ADDR_MAX);
    nat::SourceNat nat;
    const bool is_right = attributes.number(NFTA_NAT_TYPE) == NFT_NAT_SNAT &&
                          number == protocol_family(family) &&
                          read_ports(attributes, NFTA_NAT_REG_PROTO_MIN, NFTA_NAT_REG_PROTO_MAX, nat) &&
                          read_flags(attributes.number(NFTA_NAT_FLAGS), nat);
    family_matters_ = family_matters_ || family_ == family;
    if (family_ == family && highest == lowest && holds_whole(lowest, Holds::source) && !nat.ports &&
        !nat.random_fully) {
      rule_.statement = nat::nftables::KeepSource{family};
      return is_right;
    }
    const auto first = registers_.at(lowest).constant;
    const auto last = registers_.at(highest).constant;
    nat.to = net::Range{address_in(family, first), address_in(family, last)};
    rule_.statement = nat;
    return is_right && first.size() == bytes_of(family) && last.size() == bytes_of(family);
  }

  // The ports in the registers that `first` and `last` name.
  bool read_ports(const Attributes& attributes, int first, int last, nat::SourceNat& nat) {
    if (attributes[first] == nullptr) return attributes[last] == nullptr;
    const auto lowest = number_in<std::uint16_t>(registers_.at(attributes.number(first)).constant);
    const auto highest = number_in<std::uint16_t>(registers_.at(attributes.number(last)).constant);
    if (!lowest || !highest) return false;
    nat.ports = {ntohs(*lowest), ntohs(*highest)};
    return true;
  }

  // Whether the flags are such that ip-masq writes, those aside that follow from the registers.
  static bool read_flags(std::uint32_t flags, nat::SourceNat& nat) {
    constexpr std::uint32_t implied = NF_NAT_RANGE_MAP_IPS | NF_NAT_RANGE_PROTO_SPECIFIED;
    nat.random_fully = (flags & NF_NAT_RANGE_PROTO_RANDOM_FULLY) != 0;
    return (flags & ~(implied | NF_NAT_RANGE_PROTO_RANDOM_FULLY)) == 0;
  }

  ObservedRule observed_;
  nat::nftables::Rule& rule_ = observed_.rule;
  std::optional<Family> family_;  // that the rule matched
  bool family_matters_ = false;   // to a part of it that names its own family
  Registers registers_;
  int counters_ = 0;
};

}  // namespace

ObservedRule read_expressions(const nlattr* expressions) {
  return ExpressionReader().read(expressions);
}

}  // namespace ipmasq::netfilter
