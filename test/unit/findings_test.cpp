#include "doctor/findings.hpp"

#include <doctest/doctest.h>

#include "finding_texts.hpp"
#include "networks.hpp"
#include "texts.hpp"

namespace ipmasq::doctor {

namespace {

using test::text;

nat::ForeignRule masquerade(const std::string& subnet) {
  return {.program = "iptables-legacy",
          .chain = "POSTROUTING",
          .source = {{test::prefix(subnet)}},
          .target = "MASQUERADE"};
}

}  // namespace

TEST_CASE("a rule of somebody else, and the command that deletes it") {
  nat::ForeignRule rule{.program = "iptables-legacy",
                        .chain = "POSTROUTING",
                        .source = {{test::prefix("172.17.0.0/16")}},
                        .destination = {{test::prefix("224.0.0.0/4"), true}},
                        .out_interface = {{"docker0", true}},
                        .comment = "it's \"docker\"",
                        .not_to_local = true,
                        .target = "MASQUERADE"};
  const std::string specification =
      R"( -s 172.17.0.0/16 ! -d 224.0.0.0/4 ! -o docker0 -m comment --comment 'it'\''s "docker"' -m addrtype ! --dst-type LOCAL -j MASQUERADE)";
  CHECK(nat::to_text(rule) == "iptables-legacy -t nat -A POSTROUTING" + specification);
  CHECK(nat::delete_command(rule) == "iptables-legacy -t nat -D POSTROUTING" + specification);
  rule.program = "nft";
  rule.family = "ip";
  rule.handle = 7;
  CHECK(nat::to_text(rule) == "nft ip nat POSTROUTING handle 7:" + specification);
  CHECK(nat::delete_command(rule) == "nft delete rule ip nat POSTROUTING handle 7");
}

TEST_CASE("what others left is not offered for removal while pods have nothing else") {
  Facts facts;
  nat::ForeignRule jump{.program = "iptables-legacy", .chain = "POSTROUTING", .target = "IP-MASQ-AGENT"};
  facts.node.foreign.rules = {jump};
  CHECK(text(facts).starts_with(
      "ip-masq-agent-leftover\n  found: iptables-legacy -t nat -A POSTROUTING -j IP-MASQ-AGENT\n"
      "  fix: iptables-legacy -t nat -D POSTROUTING -j IP-MASQ-AGENT\n"));
  facts.ours.not_adopted = {"cbr0: default/web 10.244.1.7/24 (0123 eth0)"};
  CHECK(text(facts) ==
        "pods-not-adopted\n  found: cbr0: default/web 10.244.1.7/24 (0123 eth0)\n  fix: ip-masq adopt\n"
        "ip-masq-agent-leftover\n  found: iptables-legacy -t nat -A POSTROUTING -j IP-MASQ-AGENT\n"
        "  fix: # this comes first, or pods lose what these rules do for them (pods-not-adopted); then ask "
        "doctor "
        "again:\n  fix: ip-masq adopt\n");
}

TEST_CASE("a pod that asks for a policy that it may not have is a note") {
  Facts facts;
  facts.ours.refused_policies = {"cbr0: default/web asks for policy partner: there is no policy \"partner\""};
  CHECK(text(facts) ==
        "policy-refused\n  found: cbr0: default/web asks for policy partner: there is no policy \"partner\"\n"
        "  fix: # list the pod's namespace in annotated of that policy, or take the pod's annotation "
        "ip-masq/policy away and start it anew; then:\n  fix: ip-masq sync\n");
  CHECK(examine(facts).front().weight == Weight::note);
}

TEST_CASE("nothing is found where there is nothing") {
  CHECK(text({}).empty());
  Facts facts;
  facts.node.foreign.rules = {masquerade("192.0.2.0/24")};
  facts.node.flannel_masquerades = false;
  facts.node.lists = conflist::read_networks(
      {{.name = "b.conf", .text = R"({"type": "bridge"})"},
       {.name = "c.conflist", .text = R"({"plugins": "odd"})"},
       {.name = "d.conflist", .text = R"({"plugins": [7, {"type": 7}]})"},
       {.name = "e.conflist", .text = R"({"name": "e", "plugins": [{"type": "bridge"}]})"}});
  facts.node.forwards_ipv6 = false;  // no pods need it
  CHECK(text(facts).empty());
}

TEST_CASE("no fix has what a tool would read as more than a name") {
  Facts facts;
  nat::ForeignRule jump{.program = "iptables-legacy",
                        .chain = "POSTROUTING",
                        .comment = "ip-masq-agent: ensure",
                        .target = "-w",
                        .is_jump = true};
  nat::ForeignRule in_chain{.program = "iptables-legacy", .chain = "-w", .target = "RETURN"};
  facts.node.foreign.rules = {jump, in_chain};
  CHECK(text(facts).ends_with(
      "  fix: # have its owner take it away, no command can name it: iptables-legacy -t nat chain -w\n"));

  nat::ForeignRule rule{.program = "nft", .family = "ip", .table = "t", .chain = "c-1/x_y.z", .handle = 7};
  CHECK(nat::delete_command(rule) == "nft delete rule ip t c-1/x_y.z handle 7");
  for (const auto* const name :
       {"c handle 1; flush ruleset; delete rule ip x c", "-x", "1c", "a b", "a'b", ""}) {
    rule.chain = name;
    CHECK(nat::delete_command(rule).starts_with(
        "# have its owner take it away, no command can name it: ip t "));
  }
  rule = {.program = "iptables-legacy",
          .table = "raw",
          .chain = "PREROUTING",
          .number = 3,
          .in_interface = {{"e\x1b[31m", true}},
          .target = "NOTRACK"};
  CHECK(nat::delete_command(rule) == "iptables-legacy -t raw -D PREROUTING 3");
}

TEST_CASE("settings matter to the families that pods have") {
  Facts facts;
  facts.ours.networks = {{"cbr0", "nftables", {test::prefix("fd00::/64")}}};
  facts.node.forwards_ipv4 = facts.node.forwards_ipv6 = false;
  CHECK(text(facts) ==
        "ipv6-forwarding-off\n  found: net.ipv6.conf.all.forwarding = 0\n"
        "  fix: sysctl -w net.ipv6.conf.all.forwarding=1\n"
        "  fix: echo 'net.ipv6.conf.all.forwarding = 1' >> /etc/sysctl.d/90-ip-masq.conf  # for the next "
        "boot\n");
}

TEST_CASE("two networks that hand out addresses of one subnet, in two back ends") {
  Facts facts;
  facts.ours.networks = {{"cbr0", "nftables", {}}, {"other", "nftables", {}}};
  facts.ours.wanted = nat::wanted_ruleset(
      {test::network("cbr0", "", {"10.244.1.0/24"}), test::network("other", "", {"10.244.1.0/25"})});
  CHECK(text(facts).empty());
  facts.ours.networks.back().backend = "iptables";
  CHECK(text(facts) ==
        "pod-subnet-of-two-networks\n"
        "  found: 10.244.1.0/25 of network other, in iptables, and 10.244.1.0/24 of cbr0, in nftables\n"
        "  fix: # the same \"backend\" for both, or neither: \"auto\" keeps all networks of a node together; "
        "then "
        "ip-masq sync\n");
}

TEST_CASE("networks that OSPF tells the way to are exempt, as a whole") {
  Facts facts;
  facts.ours.wanted = nat::wanted_ruleset(
      {test::network("cbr0", R"("nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.1.2.0/24"])",
                     {"10.244.1.0/24"})});
  facts.node.ospf_routes = {test::prefix("0.0.0.0/0"), test::prefix("10.9.0.0/16"),
                            test::prefix("fd00:9::/32")};
  CHECK(text(facts).empty());
  facts.node.ospf_routes = {test::prefix("10.1.0.0/16"), test::prefix("10.1.2.128/25"),
                            test::prefix("10.0.0.0/7"), test::prefix("172.20.0.0/16")};
  CHECK(text(facts) ==
        "ospf-network-not-exempt\n"
        "  found: 10.1.0.0/16, from pods of network cbr0\n"
        "  found: 10.1.2.128/25, from pods of network cbr0\n"
        "  found: 10.0.0.0/7, from pods of network cbr0\n"
        "  found: 172.20.0.0/16, from pods of network cbr0\n"
        "  fix: # add them to nonMasqueradeCIDRs, in ip-masq's entry of the conflist or in its configFile\n");
}

TEST_CASE("flannel's last rule matters where OSPF leads outside hosts to the node") {
  Facts facts;
  facts.node.foreign.rules = {{.program = "iptables-legacy",
                               .chain = "FLANNEL-POSTRTG",
                               .source = {{test::prefix("10.244.0.0/16"), true}},
                               .destination = {{test::prefix("10.244.0.0/16")}},
                               .target = "MASQUERADE"}};
  CHECK(text(facts).find("flannel-hides-outside-hosts") == std::string::npos);
  facts.node.processes = {"ospfd"};
  CHECK(text(facts).find(
            "flannel-hides-outside-hosts\n"
            "  found: iptables-legacy -t nat -A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j "
            "MASQUERADE\n  fix: # scripts/snat-off flannel\n") != std::string::npos);
}

}  // namespace ipmasq::doctor
