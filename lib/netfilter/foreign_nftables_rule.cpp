#include "netfilter/foreign_nftables_rule.hpp"

#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "netfilter/foreign_marks.hpp"
#include "netfilter/foreign_nftables_matches.hpp"
#include "netfilter/foreign_nftables_registers.hpp"
#include "netfilter/foreign_nftables_values.hpp"
#include "netfilter/foreign_xtables.hpp"
#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::ForeignRule;
using net::Family;

class ForeignRuleReader {
 public:
  ForeignRuleReader(ForeignRule rule, const KeyBytes& key_bytes)
      : rule_(std::move(rule)), key_bytes_(key_bytes) {}

  std::vector<ForeignRule> read(const nlattr* expressions) {
    for_each(expressions, [this](const nlattr* item) {
      if (!is_decided_) read_expression(Attributes(item));
    });
    parts_.push_back(std::move(rule_));
    return std::move(parts_);
  }

 private:
  using Reader = bool (ForeignRuleReader::*)(const Attributes&);

  void read_expression(const Attributes& expression) {
    static const std::map<std::string, Reader> readers{
        {"meta", &ForeignRuleReader::meta},       {"payload", &ForeignRuleReader::payload},
        {"bitwise", &ForeignRuleReader::bitwise}, {"cmp", &ForeignRuleReader::compare},
        {"lookup", &ForeignRuleReader::lookup},   {"immediate", &ForeignRuleReader::immediate},
        {"fib", &ForeignRuleReader::fib},         {"ct", &ForeignRuleReader::conntrack},
        {"nat", &ForeignRuleReader::address_nat}, {"masq", &ForeignRuleReader::masquerade},
        {"redir", &ForeignRuleReader::redirect},  {"tproxy", &ForeignRuleReader::proxy},
        {"notrack", &ForeignRuleReader::untrack}, {"queue", &ForeignRuleReader::queue},
        {"reject", &ForeignRuleReader::reject},   {"match", &ForeignRuleReader::match},
        {"target", &ForeignRuleReader::target},   {"counter", &ForeignRuleReader::nothing},
        {"log", &ForeignRuleReader::nothing},     {"dup", &ForeignRuleReader::nothing},
        {"objref", &ForeignRuleReader::object},   {"dynset", &ForeignRuleReader::update},
        {"last", &ForeignRuleReader::nothing},    {"synproxy", &ForeignRuleReader::synproxy},
        {"fwd", &ForeignRuleReader::forward},     {"range", &ForeignRuleReader::range}};
    // What only loads a register matches nothing: the comparison that follows says what it cannot tell.
    static const std::array<std::string, 10> loads{"rt",   "exthdr", "socket", "osf",   "numgen",
                                                   "hash", "tunnel", "xfrm",   "inner", "byteorder"};
    const auto name = expression.text(NFTA_EXPR_NAME);
    const Attributes attributes(expression[NFTA_EXPR_DATA]);
    if (is_part_of_its_own(name, attributes)) begin_part();
    const auto reader = readers.find(name);
    if (reader != readers.end()) {
      if (!(this->*reader->second)(attributes)) rule_.other_matches.push_back(name);
    } else if (std::ranges::find(loads, name) != loads.end()) {
      registers_.clear();  // where it goes is told by an attribute of its own
    } else {
      rule_.other_matches.push_back(name);
    }
  }

  // What a rule did stays done, whatever it asks for after that.
  bool has_done_something() const {
    return rule_.mark_change || rule_.connection_mark_change || rule_.untracks || rule_.zone ||
           rule_.rewrites_source || rule_.redirection || !rule_.target.empty();
  }

  // Whether an expression asks for more, or does more of what the walk has in an order of its own.
  static bool is_part_of_its_own(const std::string& name, const Attributes& attributes) {
    static const std::set<std::string> asking{"cmp",   "lookup", "match",     "range",  "limit",
                                              "quota", "objref", "connlimit", "dynset", "flow_offload"};
    if (name == "meta") return attributes[NFTA_META_SREG] != nullptr;
    if (name == "payload") return attributes[NFTA_PAYLOAD_SREG] != nullptr;
    if (name == "ct") return attributes[NFTA_CT_SREG] != nullptr;
    return name == "notrack" || asking.contains(name);
  }

  void begin_part() {
    if (!has_done_something()) return;
    ForeignRule next{.program = rule_.program,
                     .family = rule_.family,
                     .table = rule_.table,
                     .chain = rule_.chain,
                     .handle = rule_.handle,
                     .parts_before = nat::specification(rule_)};
    parts_.push_back(std::exchange(rule_, std::move(next)));
  }

  // NOLINTNEXTLINE(readability-convert-member-functions-to-static): one of the readers
  bool nothing(const Attributes& /*attributes*/) { return true; }

  // ---- registers

  bool meta(const Attributes& attributes) {
    const auto key = attributes.number(NFTA_META_KEY);
    if (attributes[NFTA_META_DREG] == nullptr) {
      if (key == NFT_META_MARK) {
        const auto value = registers_.at(attributes.number(NFTA_META_SREG));
        rule_.mark_change = mark_change_to(value, Holds::mark);
        if (value.holds == Holds::of_map && !value.mask) rule_.mark_map = value.lookup;
        registers_.forget(Holds::mark);
      }
      return true;
    }
    registers_.load(attributes.number(NFTA_META_DREG), loaded_by_meta(attributes));
    return true;
  }

  // Which address of a packet stands there, and of which family.
  std::optional<Register> address_at(std::uint32_t base, std::uint32_t offset, std::uint32_t length) const {
    if (base != NFT_PAYLOAD_NETWORK_HEADER) return std::nullopt;
    for (const auto family : {Family::ipv4, Family::ipv6}) {
      if (family_ && family_ != family) continue;
      if (family_of_table() && family_of_table() != family) continue;
      if (length > bytes_of(family)) continue;
      if (offset == source_offset(family)) return Register{Holds::source, family, slots_of(length)};
      if (offset == destination_offset(family)) return Register{Holds::destination, family, slots_of(length)};
    }
    return std::nullopt;
  }

  // What else is told of a packet's headers.
  Register field_at(std::uint32_t base, std::uint32_t offset, std::uint32_t length) const {
    constexpr std::uint32_t tcp_flags_offset = 13;  // netinet/tcp.h
    Register value{.slots = slots_of(length)};
    const auto family = family_ ? family_ : family_of_table();
    const bool is_ipv4 = base == NFT_PAYLOAD_NETWORK_HEADER && family == Family::ipv4;
    if (is_ipv4 && offset == offsetof(iphdr, frag_off) && length == sizeof(iphdr::frag_off))
      value.holds = Holds::fragment_offset;
    if (length != 1) return value;
    const bool is_tcp = rule_.protocol && rule_.protocol == nat::Match<std::uint32_t>{IPPROTO_TCP};
    if (base == NFT_PAYLOAD_TRANSPORT_HEADER && offset == tcp_flags_offset && is_tcp)
      value.holds = Holds::tcp_flags;
    if (is_ipv4 && offset == offsetof(iphdr, protocol)) value.holds = Holds::protocol;
    return value;
  }

  bool payload(const Attributes& attributes) {
    const auto base = attributes.number(NFTA_PAYLOAD_BASE);
    const auto offset = attributes.number(NFTA_PAYLOAD_OFFSET);
    const auto length = attributes.number(NFTA_PAYLOAD_LEN);
    if (attributes[NFTA_PAYLOAD_SREG] != nullptr) {
      write_payload(attributes, base, offset, length);
      return true;
    }
    auto value = address_at(base, offset, length);
    if (!value) value = field_at(base, offset, length);
    registers_.load(attributes.number(NFTA_PAYLOAD_DREG), *value);
    return true;
  }

  void write_payload(const Attributes& attributes, std::uint32_t base, std::uint32_t offset,
                     std::uint32_t length) {
    if (base != NFT_PAYLOAD_NETWORK_HEADER) return;
    for (const auto family : {Family::ipv4, Family::ipv6}) {
      if ((family_ && family_ != family) || (family_of_table() && family_of_table() != family)) continue;
      if (overlaps(offset, length, source_offset(family), bytes_of(family))) rule_.rewrites_source = true;
      if (overlaps(offset, length, destination_offset(family), bytes_of(family))) {
        const bool is_whole = offset == destination_offset(family) && length == bytes_of(family);
        const auto to = is_whole
                            ? range_in(registers_, attributes, NFTA_PAYLOAD_SREG, NFTA_PAYLOAD_SREG, family)
                            : std::nullopt;
        rule_.redirection = nat::Redirection{.to = to, .by_nat = false};
      }
      if (!family_ && !family_of_table()) rule_.only = family;
      registers_.forget(Holds::source);
      registers_.forget(Holds::destination);
      return;  // the first family that it can be
    }
  }

  bool bitwise(const Attributes& attributes) {
    auto value = registers_.at(attributes.number(NFTA_BITWISE_SREG));
    if (attributes.number(NFTA_BITWISE_OP) != NFT_BITWISE_BOOL || value.mask) {
      value = {.slots = value.slots};
    } else {
      value.mask = value_in(attributes[NFTA_BITWISE_MASK]);
      value.flipped = value_in(attributes[NFTA_BITWISE_XOR]);
    }
    registers_.load(attributes.number(NFTA_BITWISE_DREG), std::move(value));
    return true;
  }

  // "ct original zone set" and "ct reply zone set" are of one direction each.
  static nat::Zone zone_in(const Register& value, const Attributes& attributes) {
    nat::Zone zone;
    const auto direction = attributes.bytes(NFTA_CT_DIRECTION);
    if (!direction.empty())
      zone.of = direction.front() == IP_CT_DIR_ORIGINAL ? nat::Zone::Of::sent : nat::Zone::Of::answers;
    std::uint16_t number = 0;
    if (value.holds != Holds::constant || value.bytes.size() != sizeof number) return zone;
    std::memcpy(&number, value.bytes.data(), sizeof number);
    zone.number = number;
    return zone;
  }

  bool conntrack(const Attributes& attributes) {
    const auto key = attributes.number(NFTA_CT_KEY);
    if (attributes[NFTA_CT_DREG] == nullptr) {
      if (key == NFT_CT_ZONE)
        rule_.zone = zone_in(registers_.at(attributes.number(NFTA_CT_SREG)), attributes);
      if (key == NFT_CT_MARK) {
        rule_.connection_mark_change =
            mark_change_to(registers_.at(attributes.number(NFTA_CT_SREG)), Holds::connection_mark);
        registers_.forget(Holds::connection_mark);
      }
      return true;
    }
    registers_.load(attributes.number(NFTA_CT_DREG), loaded_by_conntrack(attributes));
    return true;
  }

  bool fib(const Attributes& attributes) {
    registers_.load(attributes.number(NFTA_FIB_DREG), loaded_by_fib(attributes));
    return true;
  }

  // ---- matches

  bool compare(const Attributes& attributes) {
    return read_comparison(attributes, registers_.at(attributes.number(NFTA_CMP_SREG)), rule_, family_);
  }

  bool range(const Attributes& attributes) {
    return read_range(attributes, registers_.at(attributes.number(NFTA_RANGE_SREG)), rule_);
  }

  bool lookup(const Attributes& attributes) {
    const auto key_bytes = key_bytes_(attributes.text(NFTA_LOOKUP_SET));
    const auto family = family_ ? family_ : family_of_table();
    auto lookup = lookup_in(attributes, registers_, key_bytes, family, rule_);
    if (attributes[NFTA_LOOKUP_DREG] == nullptr) {
      rule_.lookups.push_back(std::move(lookup));
    } else if (attributes.number(NFTA_LOOKUP_DREG) == NFT_REG_VERDICT) {
      rule_.verdicts = std::move(lookup);
    } else {
      // What is in no element matches no rule; of a key that is not told here, most maps have all.
      if (lookup.is_told()) rule_.lookups.push_back(lookup);
      registers_.load(attributes.number(NFTA_LOOKUP_DREG),
                      {.holds = Holds::of_map, .lookup = std::move(lookup)});
    }
    return true;
  }

  bool match(const Attributes& attributes) {
    const auto name = attributes.text(NFTA_MATCH_NAME);
    read_xtables_match({name, attributes.number(NFTA_MATCH_REV), bytes_in(attributes.bytes(NFTA_MATCH_INFO))},
                       rule_);
    return true;
  }

  // ---- statements

  bool immediate(const Attributes& attributes) {
    const auto into = attributes.number(NFTA_IMMEDIATE_DREG);
    if (into != NFT_REG_VERDICT) {
      auto bytes = value_in(attributes[NFTA_IMMEDIATE_DATA]);
      registers_.load(into, {.holds = Holds::constant, .slots = slots_of(bytes.size()), .bytes = bytes});
      return true;
    }
    const Attributes data(attributes[NFTA_IMMEDIATE_DATA]);
    const auto verdict = foreign_verdict(data[NFTA_DATA_VERDICT]);
    if (verdict.target.empty()) return true;
    rule_.is_jump = verdict.is_jump;
    rule_.is_goto = verdict.is_goto;
    return decide(verdict.target);
  }

  bool decide(const std::string& target) {
    rule_.target = target;
    return is_decided_ = true;
  }

  bool address_nat(const Attributes& attributes) {
    const auto family =
        attributes.number(NFTA_NAT_FAMILY) == protocol_family(Family::ipv6) ? Family::ipv6 : Family::ipv4;
    if (!family_of_table()) rule_.only = family;
    const auto to = range_in(registers_, attributes, NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_ADDR_MAX, family);
    const bool has_address = attributes[NFTA_NAT_REG_ADDR_MIN] != nullptr;
    // Onto a prefix, address by address.
    const bool is_map = (attributes.number(NFTA_NAT_FLAGS) & NF_NAT_RANGE_NETMAP) != 0;
    if (attributes.number(NFTA_NAT_TYPE) == NFT_NAT_SNAT) {
      if (!is_map) rule_.translates_to = to;
      return decide("SNAT");
    }
    if (!has_address) return decide("ACCEPT");  // another port of the same host
    rule_.redirection = nat::Redirection{.to = is_map ? std::nullopt : to};
    return decide("DNAT");
  }

  bool masquerade(const Attributes& /*attributes*/) { return decide("MASQUERADE"); }
  bool redirect(const Attributes& /*attributes*/) {
    rule_.redirection = nat::Redirection{.to_this_node = true};
    return decide("REDIRECT");
  }
  bool proxy(const Attributes& /*attributes*/) {
    rule_.target = "TPROXY";
    rule_.redirection = nat::Redirection{.to_this_node = true, .by_nat = false};
    return true;
  }
  bool untrack(const Attributes& /*attributes*/) {
    rule_.untracks = true;
    return true;
  }
  bool queue(const Attributes& attributes) {
    rule_.queues = queues_in(attributes);
    return decide("QUEUE");
  }
  bool synproxy(const Attributes& /*attributes*/) {
    rule_.target = "SYNPROXY";
    return true;
  }
  bool reject(const Attributes& /*attributes*/) { return decide("REJECT"); }
  // Out by another device, whatever the routes say.
  bool forward(const Attributes& /*attributes*/) {
    rule_.target = "FWD";
    rule_.redirection = nat::Redirection{.by_nat = false};
    return true;
  }
  // NOLINTNEXTLINE(readability-convert-member-functions-to-static): one of the readers
  bool object(const Attributes& attributes) {
    constexpr std::array<std::uint32_t, 3> asking{NFT_OBJECT_QUOTA, NFT_OBJECT_LIMIT, NFT_OBJECT_CONNLIMIT};
    const auto type = attributes.number(NFTA_OBJREF_IMM_TYPE);
    return attributes[NFTA_OBJREF_IMM_TYPE] != nullptr && std::ranges::find(asking, type) == asking.end();
  }
  // A meter also asks.
  // NOLINTNEXTLINE(readability-convert-member-functions-to-static): one of the readers
  bool update(const Attributes& attributes) {
    return attributes[NFTA_DYNSET_EXPR] == nullptr && attributes[NFTA_DYNSET_EXPRESSIONS] == nullptr;
  }

  bool target(const Attributes& attributes) {
    const auto name = attributes.text(NFTA_TARGET_NAME);
    read_xtables_target(
        {name, attributes.number(NFTA_TARGET_REV), bytes_in(attributes.bytes(NFTA_TARGET_INFO))},
        family_of_table().value_or(Family::ipv4), rule_);
    return true;
  }

  static std::span<const std::byte> bytes_in(std::span<const std::uint8_t> bytes) {
    return std::as_bytes(bytes);
  }

  std::optional<Family> family_of_table() const {
    if (rule_.family == "ip") return Family::ipv4;
    if (rule_.family == "ip6") return Family::ipv6;
    return std::nullopt;
  }

  std::vector<ForeignRule> parts_;  // before the one that is read
  ForeignRule rule_;
  const KeyBytes& key_bytes_;
  bool is_decided_ = false;       // nothing that follows is reached
  std::optional<Family> family_;  // that the rule asked for so far
  Registers registers_;
};

}  // namespace

std::vector<ForeignRule> foreign_parts(const nlattr* expressions, ForeignRule rule,
                                       const KeyBytes& key_bytes) {
  return ForeignRuleReader(std::move(rule), key_bytes).read(expressions);
}

ForeignVerdict foreign_verdict(const nlattr* verdict) {
  const Attributes attributes(verdict);
  switch (static_cast<std::int32_t>(attributes.number(NFTA_VERDICT_CODE))) {
    case NFT_RETURN:
      return {"RETURN"};
    case NF_ACCEPT:
      return {"ACCEPT"};
    case NF_DROP:
      return {"DROP"};
    case NFT_JUMP:
      return {attributes.text(NFTA_VERDICT_CHAIN), true, false};
    case NFT_GOTO:
      return {attributes.text(NFTA_VERDICT_CHAIN), true, true};
    default:
      return {};
  }
}

}  // namespace ipmasq::netfilter
