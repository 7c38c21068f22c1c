#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/xt_comment.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "nat/nftables_rules.hpp"
#include "netfilter/error_codes.hpp"
#include "netfilter/foreign_rules.hpp"
#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::ForeignRule;
using net::Family;
using Bytes = std::basic_string<std::uint8_t>;

Bytes bytes_in(const nlattr* attribute) {
  if (attribute == nullptr) return {};
  const auto* const start = static_cast<const std::uint8_t*>(nla_data(attribute));
  return {start, static_cast<std::size_t>(nla_len(attribute))};
}

std::string text_in(const Bytes& bytes) {
  std::string text(bytes.begin(), bytes.end());
  return text.substr(0, text.find('\0'));
}

unsigned ones_in(const Bytes& mask) {
  unsigned ones = 0;
  for (const auto byte : mask) ones += static_cast<unsigned>(std::popcount(byte));
  return ones;
}

// Understands the few expressions that say whom a rule is about, and passes over the rest.
class RuleReader {
 public:
  explicit RuleReader(ForeignRule rule) : rule_(std::move(rule)) {}

  ForeignRule read(const nlattr* expressions) {
    for_each(expressions, [this](const nlattr* item) {
      const Attributes expression(item);
      const Attributes attributes(expression[NFTA_EXPR_DATA]);
      read(expression.text(NFTA_EXPR_NAME), attributes);
    });
    return std::move(rule_);
  }

 private:
  enum class Holds { nothing, source, destination, out_interface };

  void read(const std::string& name, const Attributes& attributes) {
    if (name == "payload") return payload(attributes);
    if (name == "meta") return meta(attributes);
    if (name == "bitwise") {
      mask_ = bytes_in(Attributes(attributes[NFTA_BITWISE_MASK])[NFTA_DATA_VALUE]);
    } else if (name == "cmp") {
      compare(attributes);
    } else if (name == "match" && attributes.text(NFTA_MATCH_NAME) == "comment") {
      rule_.comment = text_in(bytes_in(attributes[NFTA_MATCH_INFO]));
    } else if (name == "target") {
      rule_.target = attributes.text(NFTA_TARGET_NAME);
    } else if (name == "masq") {
      rule_.target = "MASQUERADE";
    } else if (name == "nat" && attributes.number(NFTA_NAT_TYPE) == NFT_NAT_SNAT) {
      rule_.target = "SNAT";
    } else if (name == "immediate" && attributes.number(NFTA_IMMEDIATE_DREG) == NFT_REG_VERDICT) {
      verdict(attributes);
    }
  }

  void payload(const Attributes& attributes) {
    holds_ = Holds::nothing;
    mask_.clear();
    if (attributes.number(NFTA_PAYLOAD_BASE) != NFT_PAYLOAD_NETWORK_HEADER) return;
    const auto offset = attributes.number(NFTA_PAYLOAD_OFFSET);
    for (const auto family : {Family::ipv4, Family::ipv6}) {
      if (family_of_table() && family_of_table() != family) continue;
      if (offset == source_offset(family)) holds_ = Holds::source;
      if (offset == destination_offset(family)) holds_ = Holds::destination;
      if (holds_ == Holds::nothing) continue;
      family_ = family;
      return;
    }
  }

  void meta(const Attributes& attributes) {
    mask_.clear();
    holds_ = attributes.number(NFTA_META_KEY) == NFT_META_OIFNAME ? Holds::out_interface : Holds::nothing;
  }

  void compare(const Attributes& attributes) {
    const auto value = bytes_in(Attributes(attributes[NFTA_CMP_DATA])[NFTA_DATA_VALUE]);
    const bool inverted = attributes.number(NFTA_CMP_OP) == NFT_CMP_NEQ;
    if (holds_ == Holds::out_interface) {
      rule_.out_interface = {text_in(value), inverted};
    } else if (holds_ != Holds::nothing && value.size() <= bytes_of(family_)) {
      net::Address address{family_, {}};
      std::ranges::copy(value, address.bytes.begin());
      const auto length = mask_.empty() ? static_cast<unsigned>(value.size()) * 8 : ones_in(mask_);
      (holds_ == Holds::source ? rule_.source : rule_.destination) = {net::network_of(address, length),
                                                                      inverted};
    }
    holds_ = Holds::nothing;
  }

  void verdict(const Attributes& attributes) {
    const Attributes data(attributes[NFTA_IMMEDIATE_DATA]);
    const Attributes verdict(data[NFTA_DATA_VERDICT]);
    switch (static_cast<std::int32_t>(verdict.number(NFTA_VERDICT_CODE))) {
      case NFT_RETURN:
        rule_.target = "RETURN";
        break;
      case NF_ACCEPT:
        rule_.target = "ACCEPT";
        break;
      default:
        rule_.target = verdict.text(NFTA_VERDICT_CHAIN);
    }
  }

  std::optional<Family> family_of_table() const {
    if (rule_.family == "inet") return std::nullopt;
    return rule_.family == "ip6" ? Family::ipv6 : Family::ipv4;
  }

  ForeignRule rule_;
  Holds holds_ = Holds::nothing;
  Family family_ = Family::ipv4;
  Bytes mask_;
};

// nft's own comment: type 0, length, text (libnftnl: udata.h).
std::string comment_in(const nlattr* userdata) {
  const auto bytes = bytes_in(userdata);
  if (bytes.size() < 2 || bytes[0] != 0) return "";
  return text_in(bytes.substr(2, bytes[1]));
}

}  // namespace

std::vector<ForeignRule> foreign_nftables_rules() {
  static const std::map<int, std::string> families{
      {NFPROTO_IPV4, "ip"}, {NFPROTO_IPV6, "ip6"}, {NFPROTO_INET, "inet"}};
  std::vector<ForeignRule> rules;
  const auto request = nftables_message(NFT_MSG_GETRULE, NLM_F_DUMP, NFPROTO_UNSPEC);
  const auto visit = [&](const nlmsghdr& answer) {
    const Attributes attributes(answer);
    const auto family = families.find(static_cast<const nfgenmsg*>(nlmsg_data(&answer))->nfgen_family);
    const auto table = attributes.text(NFTA_RULE_TABLE);
    if (family == families.end() || (family->second == "inet" && table == nat::nftables::table_name))
      return true;
    ForeignRule rule{.program = "nft",
                     .family = family->second,
                     .table = table,
                     .chain = attributes.text(NFTA_RULE_CHAIN),
                     .handle = attributes.long_number(NFTA_RULE_HANDLE),
                     .comment = comment_in(attributes[NFTA_RULE_USERDATA])};
    rules.push_back(RuleReader(std::move(rule)).read(attributes[NFTA_RULE_EXPRESSIONS]));
    return true;
  };
  try {
    NetfilterSocket().ask(request.get(), visit, [&rules] { rules.clear(); });
  } catch (const cni::Error& error) {
    if (error.code() != nat_unavailable) throw;
  }
  return rules;
}

}  // namespace ipmasq::netfilter
