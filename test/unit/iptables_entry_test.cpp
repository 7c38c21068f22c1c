#include "netfilter/iptables_entry.hpp"

#include <doctest/doctest.h>
#include <linux/netfilter/xt_conntrack.h>

#include <algorithm>

#include "networks.hpp"

namespace ipmasq::netfilter {

namespace {

std::string target_name(const nat::iptables::Rule& rule) {
  if (const auto* const jump = std::get_if<nat::iptables::Jump>(&rule.target)) return jump->chain;
  if (const auto* const leap = std::get_if<nat::iptables::Goto>(&rule.target)) return leap->chain;
  if (const auto* const source_nat = std::get_if<nat::SourceNat>(&rule.target))
    return source_nat->to ? "SNAT" : "MASQUERADE";
  return std::holds_alternative<nat::iptables::Accept>(rule.target) ? "ACCEPT" : "RETURN";
}

// As the kernel hands it back: no name for the targets that are jumps and verdicts.
template <typename Tables>
nat::iptables::Rule through_the_kernel(const nat::iptables::Rule& rule) {
  auto bytes = encode<Tables>(rule);
  auto* const entry = reinterpret_cast<typename Tables::Entry*>(bytes.data());  // NOLINT: the kernel's layout
  auto* const target = reinterpret_cast<xt_entry_target*>(bytes.data() + entry->target_offset);  // NOLINT
  REQUIRE(entry->next_offset == bytes.size());
  if (!std::holds_alternative<nat::SourceNat>(rule.target)) std::ranges::fill(target->u.user.name, '\0');
  return decode<Tables>(*entry, target_name(rule)).rule;
}

template <typename Tables>
void check_all_rules(const std::string& keys, const std::vector<std::string>& subnets) {
  auto chains =
      nat::iptables::target({}, nat::wanted_ruleset({test::network("cbr0", keys, subnets)}), Tables::family)
          .chains;
  chains["POSTROUTING"] = {nat::iptables::hook_rule()};
  for (const auto& [chain, rules] : chains) {
    for (const auto& rule : rules)
      CHECK(nat::iptables::to_text(chain, through_the_kernel<Tables>(rule)) ==
            nat::iptables::to_text(chain, rule));
    for (const auto& rule : rules) CHECK(through_the_kernel<Tables>(rule) == rule);
  }
}

}  // namespace

TEST_CASE("every rule that can be wanted survives the kernel's layout") {
  for (const std::string keys :
       {R"("masqueradeCIDRs": ["10.1.2.0/24", "fd01::/16"])",
        R"("toPorts": "1024-29999,32768-65535", "randomFully": false)",
        R"("toPorts": "1024-29999", "snatTo": ["203.0.113.7", "2001:db8::7"])",
        R"("snatTo": ["203.0.113.7", "2001:db8::7"], "exemption": "return", "yieldMarks": ["5"])",
        R"("snatTo": ["203.0.113.8-203.0.113.15", {"address": "203.0.113.7-203.0.113.9", "interface": "eth1"},
                      {"address": "2001:db8::7", "interface": "a234567890bcdef"}, "2001:db8::8-2001:db8::f"],
           "toPorts": "1000,2000-2999", "masqueradeCIDRs": ["10.1.2.0/24"])"}) {
    check_all_rules<Ipv4Tables>(keys, {"10.244.1.0/24", "10.244.2.5/32", "0.0.0.0/0"});
    check_all_rules<Ipv6Tables>(keys, {"fd00:10:244:1::/64", "fd00:10:244:2::5/128"});
  }
}

TEST_CASE("a rule with anything beyond ours equals none of ours") {
  const nat::iptables::Rule rule{.destination = test::prefix("10.0.0.0/8"),
                                 .target = nat::iptables::Accept{}};
  auto bytes = encode<Ipv4Tables>(rule);
  auto* const entry = reinterpret_cast<ipt_entry*>(bytes.data());  // NOLINT: the kernel's layout
  CHECK(decode<Ipv4Tables>(*entry, "ACCEPT").rule.other_matches.empty());
  entry->ip.outiface[0] = 'e';
  CHECK(nat::iptables::to_text("C", decode<Ipv4Tables>(*entry, "ACCEPT").rule) ==
        "-A C -d 10.0.0.0/8 -o e+ -j ACCEPT");
  entry->ip.invflags = IPT_INV_DSTIP;
  CHECK(decode<Ipv4Tables>(*entry, "ACCEPT").rule.other_matches == "-o e+ (inverted)");
  entry->ip.dmsk.s_addr = 0x00ff00ff;
  CHECK(decode<Ipv4Tables>(*entry, "ACCEPT").rule.other_matches == "(mask with holes) -o e+ (inverted)");
}

TEST_CASE("a match that is none of ours, or stands twice, makes a rule another one") {
  const auto subnet = test::prefix("10.244.1.0/24");
  const auto text_of = [](std::vector<std::byte> bytes) {
    const auto* const entry =
        reinterpret_cast<const ipt_entry*>(bytes.data());  // NOLINT: the kernel's layout
    return nat::iptables::to_text("C", decode<Ipv4Tables>(*entry, "RETURN").rule);
  };
  auto other_addressee = encode<Ipv4Tables>(nat::iptables::hairpin_rules(subnet, subnet).back());
  auto* const info = reinterpret_cast<xt_conntrack_mtinfo3*>(  // NOLINT: the kernel's layout
      other_addressee.data() + sizeof(ipt_entry) + sizeof(xt_entry_match));
  SUBCASE("another addressee") {
    info->origdst_addr.ip = htonl(0x0af40200);
  }
  SUBCASE("not inverted") {
    info->invert_flags = 0;
  }
  SUBCASE("something else besides") {
    info->match_flags |= XT_CONNTRACK_STATE;
  }
  SUBCASE("a mask with holes") {
    info->origdst_mask.ip = htonl(0xff00ff00);
  }
  CHECK(text_of(other_addressee) ==
        "-A C -s 10.244.1.0/24 -d 10.244.1.0/24 -m comment --comment \"ip-masq: hairpin\" -m conntrack -j "
        "RETURN");
}

TEST_CASE("what iptables leaves behind an IPv4 addressee is no difference") {
  const auto rule =
      nat::iptables::hairpin_rules(test::prefix("10.244.1.5/32"), test::prefix("10.244.1.5/32")).front();
  auto bytes = encode<Ipv4Tables>(rule);
  auto* const info = reinterpret_cast<xt_conntrack_mtinfo3*>(  // NOLINT: the kernel's layout
      bytes.data() + sizeof(ipt_entry) + sizeof(xt_entry_match));
  std::ranges::fill(info->origdst_mask.all, 0xffffffffU);
  const auto* const entry = reinterpret_cast<const ipt_entry*>(bytes.data());  // NOLINT: the kernel's layout
  CHECK(nat::iptables::to_text("C", decode<Ipv4Tables>(*entry, "RETURN").rule) ==
        nat::iptables::to_text("C", rule));
}

TEST_CASE("a translation of another form is none of ours") {
  auto bytes = encode<Ipv4Tables>({.target = nat::SourceNat{}});
  const auto* const entry = reinterpret_cast<ipt_entry*>(bytes.data());   // NOLINT: the kernel's layout
  auto* const range = reinterpret_cast<nf_nat_ipv4_multi_range_compat*>(  // NOLINT: the kernel's layout
      bytes.data() + entry->target_offset + sizeof(xt_entry_target));
  range->range[0].flags = NF_NAT_RANGE_PROTO_RANDOM;
  CHECK(nat::iptables::to_text("C", decode<Ipv4Tables>(*entry, "MASQUERADE").rule) ==
        "-A C -j MASQUERADE (in another form)");
}

TEST_CASE("counters come along, and do not make rules differ") {
  auto bytes = encode<Ipv4Tables>({.target = nat::SourceNat{}});
  auto* const entry = reinterpret_cast<ipt_entry*>(bytes.data());  // NOLINT: the kernel's layout
  entry->counters = {7, 700};
  entry->comefrom = 5;
  entry->nfcache = 6;
  const auto observed = decode<Ipv4Tables>(*entry, "MASQUERADE");
  CHECK(observed.packets == 7);
  CHECK(observed.bytes == 700);
  CHECK(observed.rule == nat::iptables::Rule{.target = nat::SourceNat{}});
}

}  // namespace ipmasq::netfilter
