// Expressions and their attributes: linux/netfilter/nf_tables.h; which of them nft makes of a rule:
// nft --debug=netlink.
#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/rtnetlink.h>

#include <array>
#include <optional>
#include <variant>

#include "netfilter/nftables_layout.hpp"
#include "netfilter/nftables_rule.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::nftables::Rule;
using net::Family;

// One expression, closed at the end of its life.
class Expression {
 public:
  Expression(nl_msg* message, const char* name)
      : message_(message), item_(nla_nest_start(message, NFTA_LIST_ELEM)) {
    nla_put_string(message_, NFTA_EXPR_NAME, name);
    data_ = nla_nest_start(message_, NFTA_EXPR_DATA);
  }
  ~Expression() {
    nla_nest_end(message_, data_);
    nla_nest_end(message_, item_);
  }
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;
  Expression(Expression&&) = delete;
  Expression& operator=(Expression&&) = delete;

  Expression& number(int type, std::uint32_t value) {
    nla_put_u32(message_, type, htonl(value));
    return *this;
  }
  Expression& byte(int type, std::uint8_t value) {
    nla_put_u8(message_, type, value);
    return *this;
  }
  Expression& long_number(int type, std::uint64_t value) {
    nla_put_u64(message_, type, htobe64(value));
    return *this;
  }
  Expression& text(int type, const std::string& value) {
    nla_put_string(message_, type, value.c_str());
    return *this;
  }
  Expression& bytes(int type, const void* value, std::size_t size) {
    auto* const nest = nla_nest_start(message_, type);
    nla_put(message_, NFTA_DATA_VALUE, static_cast<int>(size), value);
    nla_nest_end(message_, nest);
    return *this;
  }
  Expression& verdict(int type, std::int32_t code) {
    auto* const data = nla_nest_start(message_, type);
    auto* const verdict = nla_nest_start(message_, NFTA_DATA_VERDICT);
    nla_put_u32(message_, NFTA_VERDICT_CODE, htonl(static_cast<std::uint32_t>(code)));
    nla_nest_end(message_, verdict);
    nla_nest_end(message_, data);
    return *this;
  }

 private:
  nl_msg* message_;
  nlattr* item_;
  nlattr* data_ = nullptr;
};

class RuleWriter {
 public:
  explicit RuleWriter(nl_msg* message) : message_(message) {}

  void write(const Rule& rule) {
    if (rule.out_interface) match_out_interface(*rule.out_interface);
    write_addresses(rule);
    if (rule.mark) match_mark(*rule.mark);
    if (rule.to_local) match_local();
    if (rule.redirected) match_redirected();
    if (rule.is_invalid) match_invalid();
    if (rule.not_sent_to) match_not_sent_to(*rule.not_sent_to);
    if (rule.protocol) {
      load_meta(NFT_META_L4PROTO);
      const auto protocol = static_cast<std::uint8_t>(*rule.protocol);
      compare(NFT_CMP_EQ, &protocol, sizeof protocol);
    }
    if (rule.share) match_share(*rule.share);
    Expression(message_, "counter").long_number(NFTA_COUNTER_BYTES, 0).long_number(NFTA_COUNTER_PACKETS, 0);
    std::visit(*this, rule.statement);
  }

  void operator()(const nat::nftables::NoStatement& /*none*/) const {}
  void operator()(const nat::nftables::Return& /*none*/) const { give_verdict(NFT_RETURN); }
  void operator()(const nat::nftables::Drop& /*none*/) const { give_verdict(NF_DROP); }
  void operator()(const nat::nftables::Dispatch& to) {
    match_family(to.family);
    load_address(to.family, source_offset(to.family));
    Expression(message_, "lookup")
        .text(NFTA_LOOKUP_SET, to.map)
        .number(NFTA_LOOKUP_SREG, NFT_REG_1)
        .number(NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
  }
  void operator()(const nat::nftables::KeepSource& keep) {
    match_family(keep.family);
    load_address(keep.family, source_offset(keep.family));
    Expression(message_, "nat")
        .number(NFTA_NAT_TYPE, NFT_NAT_SNAT)
        .number(NFTA_NAT_FAMILY, protocol_family(keep.family))
        .number(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
  }
  void operator()(const nat::SourceNat& nat) const {
    std::uint32_t flags = nat.random_fully ? NF_NAT_RANGE_PROTO_RANDOM_FULLY : 0;
    // A single address, as a single port, is in one register, which is both ends: nft then prints it as one.
    const bool is_range = nat.to && nat.to->first != nat.to->last;
    if (nat.to) load_constant(NFT_REG_1, nat.to->first.bytes.data(), bytes_of(family(*nat.to)));
    if (is_range) load_constant(NFT_REG_2, nat.to->last.bytes.data(), bytes_of(family(*nat.to)));
    const auto first_port = is_range ? NFT_REG_3 : NFT_REG_2;
    const auto behind = is_range ? NFT_REG_4 : NFT_REG_3;
    const auto last_port = nat.ports && nat.ports->size() > 1 ? behind : first_port;
    if (nat.ports) {
      flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
      load_port(first_port, nat.ports->first);
      if (last_port != first_port) load_port(last_port, nat.ports->last);
    }
    Expression expression(message_, nat.to ? "nat" : "masq");
    if (nat.to) {
      expression.number(NFTA_NAT_TYPE, NFT_NAT_SNAT)
          .number(NFTA_NAT_FAMILY, protocol_family(family(*nat.to)))
          .number(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
      if (is_range) expression.number(NFTA_NAT_REG_ADDR_MAX, NFT_REG_2);
    }
    if (nat.ports) {
      expression.number(nat.to ? int{NFTA_NAT_REG_PROTO_MIN} : int{NFTA_MASQ_REG_PROTO_MIN}, first_port)
          .number(nat.to ? int{NFTA_NAT_REG_PROTO_MAX} : int{NFTA_MASQ_REG_PROTO_MAX}, last_port);
    }
    if (flags != 0) expression.number(nat.to ? int{NFTA_NAT_FLAGS} : int{NFTA_MASQ_FLAGS}, flags);
  }

 private:
  void give_verdict(std::int32_t code) const {
    Expression(message_, "immediate")
        .number(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT)
        .verdict(NFTA_IMMEDIATE_DATA, code);
  }
  void load_meta(std::uint32_t key) const {
    Expression(message_, "meta").number(NFTA_META_KEY, key).number(NFTA_META_DREG, NFT_REG_1);
  }
  void load_address(Family family, std::uint32_t offset, std::uint32_t into = NFT_REG_1) const {
    Expression(message_, "payload")
        .number(NFTA_PAYLOAD_DREG, into)
        .number(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER)
        .number(NFTA_PAYLOAD_OFFSET, offset)
        .number(NFTA_PAYLOAD_LEN, bytes_of(family));
  }
  void load_constant(std::uint32_t into, const void* value, std::size_t size) const {
    Expression(message_, "immediate")
        .number(NFTA_IMMEDIATE_DREG, into)
        .bytes(NFTA_IMMEDIATE_DATA, value, size);
  }
  void load_port(std::uint32_t into, std::uint16_t port) const {
    const auto value = htons(port);
    load_constant(into, &value, sizeof value);
  }
  void mask(const void* bits, std::uint32_t size) const {
    const net::Address zero;
    Expression(message_, "bitwise")
        .number(NFTA_BITWISE_SREG, NFT_REG_1)
        .number(NFTA_BITWISE_DREG, NFT_REG_1)
        .number(NFTA_BITWISE_LEN, size)
        .bytes(NFTA_BITWISE_MASK, bits, size)
        .bytes(NFTA_BITWISE_XOR, zero.bytes.data(), size);
  }
  void compare(std::uint32_t operation, const void* value, std::size_t size) const {
    Expression(message_, "cmp")
        .number(NFTA_CMP_SREG, NFT_REG_1)
        .number(NFTA_CMP_OP, operation)
        .bytes(NFTA_CMP_DATA, value, size);
  }
  void write_addresses(const Rule& rule) {
    if (rule.source) match_prefix(*rule.source, source_offset(rule.source->family()));
    if (rule.destination) match_prefix(*rule.destination, destination_offset(rule.destination->family()));
    if (rule.pair_in) match_pair(*rule.pair_in);
    if (rule.destination_in) {
      match_family(rule.destination_in->family);
      load_address(rule.destination_in->family, destination_offset(rule.destination_in->family));
      look_up(rule.destination_in->set);
    }
  }
  // Once in a rule: what else it has is of the same family.
  void match_family(Family family) {
    if (family_ == family) return;
    family_ = family;
    load_meta(NFT_META_NFPROTO);
    const auto number = static_cast<std::uint8_t>(protocol_family(family));
    compare(NFT_CMP_EQ, &number, sizeof number);
  }
  void match_prefix(const net::Prefix& prefix, std::uint32_t offset) {
    match_family(prefix.family());
    load_address(prefix.family(), offset);
    compare_prefix(NFT_CMP_EQ, prefix);
  }
  void compare_prefix(std::uint32_t operation, const net::Prefix& prefix) const {
    const auto family = prefix.family();
    if (prefix.length < net::bits(family)) {
      net::Address ones{family, {}};
      ones.bytes.fill(0xff);
      mask(net::network_of(ones, prefix.length).address.bytes.data(), bytes_of(family));
    }
    compare(operation, prefix.address.bytes.data(), bytes_of(family));
  }
  void match_pair(const nat::nftables::InSet& in) {
    match_family(in.family);
    load_address(in.family, source_offset(in.family));
    load_address(in.family, destination_offset(in.family), register_behind(in.family));
    look_up(in.set);
  }
  void look_up(const std::string& set) const {
    Expression(message_, "lookup").text(NFTA_LOOKUP_SET, set).number(NFTA_LOOKUP_SREG, NFT_REG_1);
  }
  void match_not_sent_to(const net::Prefix& prefix) const {
    Expression(message_, "ct")
        .number(NFTA_CT_KEY, prefix.family() == Family::ipv4 ? NFT_CT_DST_IP : NFT_CT_DST_IP6)
        .byte(NFTA_CT_DIRECTION, IP_CT_DIR_ORIGINAL)
        .number(NFTA_CT_DREG, NFT_REG_1);
    compare_prefix(NFT_CMP_NEQ, prefix);
  }
  void match_mark(const config::Mark& mark) const {
    load_meta(NFT_META_MARK);
    if (mark.mask != config::Mark{}.mask) this->mask(&mark.mask, sizeof mark.mask);
    compare(NFT_CMP_EQ, &mark.value, sizeof mark.value);
  }
  // Filled up with zeros: without them it is what a name begins with.
  void match_out_interface(const std::string& name) const {
    load_meta(NFT_META_OIFNAME);
    std::array<char, interface_name_size> filled{};
    name.copy(filled.data(), filled.size() - 1);
    compare(NFT_CMP_EQ, filled.data(), filled.size());
  }
  void match_local() const {
    Expression(message_, "fib")
        .number(NFTA_FIB_DREG, NFT_REG_1)
        .number(NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE)
        .number(NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
    const std::uint32_t local = RTN_LOCAL;
    compare(NFT_CMP_EQ, &local, sizeof local);
  }
  void match_redirected() const { match_conntrack(NFT_CT_STATUS, IPS_DST_NAT); }
  void match_invalid() const { match_conntrack(NFT_CT_STATE, NF_CT_STATE_INVALID_BIT); }
  void match_conntrack(std::uint32_t key, std::uint32_t bit) const {
    Expression(message_, "ct").number(NFTA_CT_KEY, key).number(NFTA_CT_DREG, NFT_REG_1);
    const std::uint32_t none = 0;
    mask(&bit, sizeof bit);
    compare(NFT_CMP_NEQ, &none, sizeof none);
  }
  void match_share(const nat::nftables::Share& share) const {
    Expression(message_, "numgen")
        .number(NFTA_NG_DREG, NFT_REG_1)
        .number(NFTA_NG_MODULUS, share.of)
        .number(NFTA_NG_TYPE, NFT_NG_RANDOM)
        .number(NFTA_NG_OFFSET, 0);
    // Registers are compared byte by byte.
    Expression(message_, "byteorder")
        .number(NFTA_BYTEORDER_SREG, NFT_REG_1)
        .number(NFTA_BYTEORDER_DREG, NFT_REG_1)
        .number(NFTA_BYTEORDER_OP, NFT_BYTEORDER_HTON)
        .number(NFTA_BYTEORDER_LEN, sizeof(std::uint32_t))
        .number(NFTA_BYTEORDER_SIZE, sizeof(std::uint32_t));
    const auto below = htonl(share.below);
    compare(NFT_CMP_LT, &below, sizeof below);
  }

  nl_msg* message_;
  std::optional<Family> family_;  // that is matched already
};

}  // namespace

void put_expressions(nl_msg* message, const Rule& rule) {
  auto* const list = nla_nest_start(message, NFTA_RULE_EXPRESSIONS);
  RuleWriter(message).write(rule);
  nla_nest_end(message, list);
}

}  // namespace ipmasq::netfilter
