#include <arpa/inet.h>  // first: the kernel headers then leave its types to libc
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "error/error.hpp"
#include "nat/nftables_rules.hpp"
#include "netfilter/foreign_rules.hpp"
#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"

namespace ipmasq::netfilter {

namespace {

using nat::ForeignRule;
using net::Family;

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
      mask_ = value_in(attributes[NFTA_BITWISE_MASK]);
    } else if (name == "cmp") {
      compare(attributes);
    } else if (name == "match" && attributes.text(NFTA_MATCH_NAME) == "comment") {
      rule_.comment = attributes.text(NFTA_MATCH_INFO);
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
    const auto value = value_in(attributes[NFTA_CMP_DATA]);
    const bool inverted = attributes.number(NFTA_CMP_OP) == NFT_CMP_NEQ;
    if (holds_ == Holds::out_interface) {
      rule_.out_interface = {{value.begin(), std::ranges::find(value, std::uint8_t{0})}, inverted};
    } else if (holds_ != Holds::nothing && value.size() <= bytes_of(family_)) {
      net::Address address{family_, {}};
      std::ranges::copy(value, address.bytes.begin());
      const auto length = mask_.empty() ? static_cast<unsigned>(value.size()) * 8 : net::length_of(mask_);
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
std::string comment_in(std::span<const std::uint8_t> userdata) {
  if (userdata.size() < 2 || userdata[0] != 0) return "";
  const auto text = userdata.subspan(2, std::min<std::size_t>(userdata[1], userdata.size() - 2));
  return {text.begin(), std::ranges::find(text, std::uint8_t{0})};
}

// "ip", "ip6", "inet"; empty for families without NAT.
std::string family_of(const nlmsghdr& message) {
  static const std::map<int, std::string> families{
      {NFPROTO_IPV4, "ip"}, {NFPROTO_IPV6, "ip6"}, {NFPROTO_INET, "inet"}};
  const auto found = families.find(static_cast<const nfgenmsg*>(nlmsg_data(&message))->nfgen_family);
  return found == families.end() ? "" : found->second;
}

bool is_ours(const std::string& family, const std::string& table) {
  return family == "inet" && table == nat::nftables::table_name;
}

// Dumps what there is of a kind in all tables; nothing where the kernel has no nftables.
void dump(int type, const std::function<bool(const nlmsghdr&)>& visit, const std::function<void()>& restart) {
  const auto request = nftables_message(type, NLM_F_DUMP, NFPROTO_UNSPEC);
  try {
    NetfilterSocket().ask(request.get(), visit, restart);
  } catch (const Error& error) {
    if (error.kind() != Kind::absent) throw;
  }
}

}  // namespace

std::vector<ForeignRule> foreign_nftables_rules() {
  std::vector<ForeignRule> rules;
  const auto visit = [&](const nlmsghdr& answer) {
    const Attributes attributes(answer);
    const auto family = family_of(answer);
    const auto table = attributes.text(NFTA_RULE_TABLE);
    if (family.empty() || is_ours(family, table)) return true;
    ForeignRule rule{.program = "nft",
                     .family = family,
                     .table = table,
                     .chain = attributes.text(NFTA_RULE_CHAIN),
                     .handle = attributes.long_number(NFTA_RULE_HANDLE),
                     .comment = comment_in(attributes.bytes(NFTA_RULE_USERDATA))};
    rules.push_back(RuleReader(std::move(rule)).read(attributes[NFTA_RULE_EXPRESSIONS]));
    return true;
  };
  dump(NFT_MSG_GETRULE, visit, [&rules] { rules.clear(); });
  return rules;
}

std::vector<nat::ForeignChain> foreign_nat_chains(std::size_t most) {
  std::vector<nat::ForeignChain> chains;
  const auto visit = [&](const nlmsghdr& answer) {
    const Attributes attributes(answer);
    const Attributes hook(attributes[NFTA_CHAIN_HOOK]);
    const auto family = family_of(answer);
    const auto table = attributes.text(NFTA_CHAIN_TABLE);
    const bool is_nat = attributes[NFTA_CHAIN_HOOK] != nullptr && attributes.text(NFTA_CHAIN_TYPE) == "nat" &&
                        hook.number(NFTA_HOOK_HOOKNUM) == static_cast<std::uint32_t>(NF_INET_POST_ROUTING);
    if (!is_nat || family.empty() || is_ours(family, table)) return true;
    chains.push_back({family, table, attributes.text(NFTA_CHAIN_NAME),
                      static_cast<std::int32_t>(hook.number(NFTA_HOOK_PRIORITY))});
    return chains.size() < most;
  };
  dump(NFT_MSG_GETCHAIN, visit, [&chains] { chains.clear(); });
  return chains;
}

}  // namespace ipmasq::netfilter
