#include "netfilter/nftables_rule.hpp"

#include <doctest/doctest.h>
#include <linux/netfilter/nf_tables.h>

#include <cstring>

#include "nat/nftables_target.hpp"
#include "netfilter/netlink.hpp"
#include "networks.hpp"

namespace ipmasq::netfilter {

namespace {

nat::nftables::Rule through_netlink(const nat::nftables::Rule& rule) {
  const auto message = nftables_message(NFT_MSG_NEWRULE, 0, 1, 4096);
  put_expressions(message.get(), rule);
  const Attributes attributes(*nlmsg_hdr(message.get()));
  return read_expressions(attributes[NFTA_RULE_EXPRESSIONS]).rule;
}

}  // namespace

TEST_CASE("every rule is read as it was written") {
  const std::vector<std::string> keys{
      "",
      R"("exemption": "return", "randomFully": false)",
      R"("yieldMarks": ["0x7", "0x10/0xf0"])",
      R"("toPorts": "1-2,1024-29999,65535", "masqueradeCIDRs": ["10.1.2.0/24", "fd01::/32"], "catchAll": false)",
      R"("snatTo": ["203.0.113.7", "2001:db8::7"], "toPorts": "5000-5009", "randomFully": false)",
      R"("snatTo": ["203.0.113.8-203.0.113.15", {"address": "203.0.113.7-203.0.113.9", "interface": "eth1"},
                    {"address": "2001:db8::7", "interface": "a234567890bcdef"}, "2001:db8::8-2001:db8::a"],
         "masqueradeCIDRs": ["10.1.2.0/24"])",
      R"("snatTo": ["203.0.113.8-203.0.113.15", {"address": "2001:db8::8-2001:db8::f", "interface": "eth1"}],
         "toPorts": "1000,2000-2999", "catchAll": false, "masqueradeCIDRs": ["10.1.2.0/24", "fd01::/32"])"};
  int rules = 0;
  for (const auto& each : keys) {
    const auto ruleset = nat::wanted_ruleset({test::network(
        "n", each, {"10.244.1.0/24", "10.9.9.9/32", "10.128.0.0/9", "fd00::/57", "fd00::5/128"})});
    for (const auto& [name, chain] : nat::nftables::target({}, ruleset).chains) {
      for (const auto& rule : chain.rules) {
        ++rules;
        CAPTURE(nat::nftables::to_text(rule));
        CHECK(through_netlink(rule) == rule);
      }
    }
  }
  CHECK(rules > 100);
}

TEST_CASE("what is no rule of ours reads as such") {
  const auto message = nftables_message(NFT_MSG_NEWRULE, 0, 1, 4096);
  auto* const list = nla_nest_start(message.get(), NFTA_RULE_EXPRESSIONS);
  for (const auto* const name : {"limit", "lookup", "cmp", "nat", "masq", "immediate"}) {
    auto* const item = nla_nest_start(message.get(), NFTA_LIST_ELEM);
    nla_put_string(message.get(), NFTA_EXPR_NAME, name);
    nla_nest_end(message.get(), item);
  }
  nla_nest_end(message.get(), list);
  const Attributes attributes(*nlmsg_hdr(message.get()));
  CHECK(read_expressions(attributes[NFTA_RULE_EXPRESSIONS]).rule.other ==
        " (limit) (lookup) (cmp) (nat) (masq) (immediate) (no counter)");
  CHECK(read_expressions(nullptr).rule.other == " (no counter)");
}

TEST_CASE("what a rule of ours has beyond it is seen") {
  using nat::nftables::Rule;
  const auto read = [](const std::vector<Rule>& rules) {
    const auto message = nftables_message(NFT_MSG_NEWRULE, 0, 1, 4096);
    auto* const list = nla_nest_start(message.get(), NFTA_RULE_EXPRESSIONS);
    for (const auto& rule : rules) {
      const auto each = nftables_message(NFT_MSG_NEWRULE, 0, 1, 4096);
      put_expressions(each.get(), rule);
      const Attributes attributes(*nlmsg_hdr(each.get()));
      const auto expressions = attributes.bytes(NFTA_RULE_EXPRESSIONS);
      std::memcpy(nlmsg_reserve(message.get(), expressions.size(), NLMSG_ALIGNTO), expressions.data(),
                  expressions.size());
    }
    nla_nest_end(message.get(), list);
    const Attributes attributes(*nlmsg_hdr(message.get()));
    return nat::nftables::to_text(read_expressions(attributes[NFTA_RULE_EXPRESSIONS]).rule);
  };
  const Rule about_source{.source = test::prefix("10.1.0.0/16")};
  const Rule leaves{.statement = nat::nftables::Return{}};
  CHECK(read({about_source, leaves}) == "ip saddr 10.1.0.0/16 counter return (several counters)");
  CHECK(read({about_source, about_source}) == "ip saddr 10.1.0.0/16 counter (cmp) (several counters)");
  CHECK(read({leaves, about_source}) == "counter return (meta) (cmp) (payload) (bitwise) (cmp) (counter)");
  CHECK(read({about_source, {.destination = test::prefix("fd00::/64")}}) ==
        "ip saddr 10.1.0.0/16 ip6 daddr fd00::/64 counter (cmp) (several counters)");
}

}  // namespace ipmasq::netfilter
