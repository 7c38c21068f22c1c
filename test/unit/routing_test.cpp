#include <doctest/doctest.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <string>

#include "routing/decision.hpp"
#include "routing/kinds.hpp"
#include "routing/policy_rules.hpp"
#include "texts.hpp"

namespace ipmasq::routing {

namespace {

Packet packet(const char* to = "10.9.9.9") {
  return {.source = test::address("10.244.1.5"), .destination = test::address(to), .in_interface = "cni0"};
}

PolicyRule lookup(std::uint32_t priority, std::uint32_t table) {
  return {.priority = priority, .action = FR_ACT_TO_TBL, .table = table};
}

PolicyRule refusing(std::uint32_t priority, int action = FR_ACT_BLACKHOLE) {
  return {.priority = priority, .action = action};
}

KernelRoute route(const char* to, unsigned char type = RTN_UNICAST) {
  return {.destination = test::prefix(to), .type = type};
}

// "RULE", or "RULE: TYPE DESTINATION".
std::string decided(const std::vector<PolicyRule>& rules, const Tables& tables,
                    const Packet& asked = packet()) {
  const auto decision = decide(rules, tables, asked);
  if (decision.rule_that_leaves != nullptr)
    return "none, left by " + std::to_string(decision.rule_that_leaves->priority) + ": " +
           net::to_text(decision.route_left->destination);
  if (decision.rule == nullptr) return "none";
  const auto rule = std::to_string(decision.rule->priority);
  if (decision.route == nullptr) return rule;
  return rule + ": " + std::to_string(decision.route->type) + " " + net::to_text(decision.route->destination);
}

std::string told(const std::vector<Packet>& packets) {
  std::string text;
  for (const auto& each : packets) {
    text += (text.empty() ? "" : ", ") + std::to_string(each.protocol) + " " +
            std::to_string(each.source_port) + ">" + std::to_string(each.destination_port) + " mark " +
            std::to_string(each.mark) + " tos " + std::to_string(each.tos);
  }
  return text;
}

std::string kinds(const std::vector<PolicyRule>& rules, Marks marks = {}) {
  const auto found =
      kinds_of(rules, {test::address("10.244.1.5"), test::address("10.9.9.9"), "cni0", {marks, marks}});
  std::string text;
  for (const auto& each : found.ordinary) text += told(each) + "\n";
  return text + "special: " + told(found.special) + (found.are_all ? "" : " and more");
}

}  // namespace

TEST_CASE("a rule holds where all that it asks for does") {
  const auto holds = [](PolicyRule rule) {
    const bool is_so = rule.holds(packet());
    rule.is_inverted = true;
    CHECK(rule.holds(packet()) != is_so);
    return is_so;
  };
  CHECK(holds({}));
  CHECK(holds({.source = test::prefix("10.244.1.0/24"), .destination = test::prefix("10.9.0.0/16")}));
  CHECK_FALSE(holds({.source = test::prefix("10.244.2.0/24")}));
  CHECK_FALSE(holds({.destination = test::prefix("10.8.0.0/16")}));
  CHECK(holds({.in_interface = "cni0"}));
  CHECK_FALSE(holds({.in_interface = "eth0"}));
  CHECK(holds({.mark = 0, .mark_mask = 0xff}));
  CHECK_FALSE(holds({.mark = 0x8, .mark_mask = 0xff}));
  CHECK_FALSE(holds({.protocol = IPPROTO_UDP}));
  CHECK_FALSE(holds({.source_ports = PortRange{1, 2}}));
  CHECK_FALSE(holds({.destination_ports = PortRange{1, 2}}));
  CHECK_FALSE(holds({.tos = 0x10}));
  CHECK_FALSE(holds({.is_for_others = true}));

  auto marked = packet();
  marked.mark = 0x10008;
  marked.protocol = IPPROTO_TCP;
  marked.source_port = 2;
  marked.destination_port = 443;
  marked.tos = 0x10;
  CHECK(PolicyRule{.mark = 0x8,
                   .mark_mask = 0xff,
                   .protocol = IPPROTO_TCP,
                   .source_ports = PortRange{1, 2},
                   .destination_ports = PortRange{443, 443},
                   .tos = 0x10}
            .holds(marked));
  CHECK(PolicyRule{.in_interface = "lo"}.holds({.source = {}, .destination = test::address("10.9.9.9")}));
}

TEST_CASE("a rule is told as ip-rule takes it") {
  CHECK(to_text(PolicyRule{}) == "from all");
  CHECK(to_text(PolicyRule{.source = test::prefix("10.244.1.0/24"),
                           .destination = test::prefix("10.9.0.0/16"),
                           .in_interface = "cni0",
                           .mark = 0x80000,
                           .mark_mask = 0xff0000,
                           .protocol = IPPROTO_UDP,
                           .source_ports = PortRange{1, 2},
                           .destination_ports = PortRange{53, 53},
                           .tos = 0x10,
                           .is_inverted = true}) ==
        "not from 10.244.1.0/24 to 10.9.0.0/16 tos 0x10 fwmark 0x80000/0xff0000 iif cni0 ipproto udp sport "
        "1-2 dport 53");
}

TEST_CASE("rules are asked in order, up to the one that answers") {
  const Tables tables{{7, {route("10.9.9.9/32", RTN_UNREACHABLE)}},
                      {8, {route("10.9.0.0/16", RTN_THROW)}},
                      {254, {route("0.0.0.0/0"), route("10.9.9.0/24", RTN_BLACKHOLE)}}};
  const auto rules = [](PolicyRule first) {
    return std::vector{std::move(first), lookup(32766, 254), refusing(40000)};
  };
  CHECK(decided(rules(lookup(100, 7)), tables) == "100: 7 10.9.9.9/32");
  CHECK(decided(rules(lookup(100, 8)), tables) == "32766: 6 10.9.9.0/24");
  CHECK(decided(rules(lookup(100, 9)), tables) == "32766: 6 10.9.9.0/24");
  CHECK(decided(rules(lookup(100, 9)), tables, packet("192.0.2.1")) == "32766: 1 0.0.0.0/0");
  CHECK(decided(rules(refusing(100)), tables) == "100");
  CHECK(decided(rules({.priority = 100, .action = FR_ACT_NOP}), tables) == "32766: 6 10.9.9.0/24");
  CHECK(decided({refusing(40000)}, tables) == "40000");
  CHECK(decided({lookup(100, 9)}, tables) == "none");

  SUBCASE("one that jumps ahead") {
    const PolicyRule jump{.priority = 100, .action = FR_ACT_GOTO, .jump_to = 300};
    CHECK(decided({jump, refusing(200), lookup(300, 254)}, tables) == "300: 6 10.9.9.0/24");
    CHECK(decided({jump, refusing(200), lookup(301, 254)}, tables) == "200");
  }
  SUBCASE("a route that leads is passed over where it is too short") {
    auto suppressing = lookup(100, 254);
    suppressing.suppressed_length = 0;
    CHECK(decided({suppressing, refusing(200)}, tables, packet("192.0.2.1")) == "200");
    CHECK(decided({suppressing}, tables, packet("192.0.2.1")) == "none, left by 100: 0.0.0.0/0");
    suppressing.suppressed_length = 24;
    CHECK(decided({suppressing, refusing(200)}, tables) == "100: 6 10.9.9.0/24");
  }
}

TEST_CASE("where none answers, what left a table that would lead there is told") {
  const Tables tables{{7, {route("10.9.9.9/32", RTN_THROW)}},
                      {254, {route("0.0.0.0/0"), route("10.9.9.0/24", RTN_THROW)}}};
  CHECK(decided({lookup(1, 7)}, tables) == "none");
  CHECK(decided({lookup(1, 7), lookup(2, 254)}, tables) == "none, left by 2: 10.9.9.0/24");
}

TEST_CASE("of the routes of a table the longest decides, and then the metric") {
  auto far = route("10.9.9.9/32", RTN_BLACKHOLE);
  far.metric = 20;
  auto near = route("10.9.9.9/32");
  near.metric = 10;
  auto of_a_service = route("10.9.9.9/32", RTN_PROHIBIT);
  of_a_service.tos = 0x10;
  const auto first = [](std::vector<KernelRoute> routes, const Packet& asked = packet()) {
    return decided({lookup(1, 7)}, {{7, std::move(routes)}}, asked);
  };
  CHECK(first({route("10.9.0.0/16", RTN_PROHIBIT), far, near, of_a_service}) == "1: 1 10.9.9.9/32");
  auto served = packet();
  served.tos = 0x10;
  CHECK(first({far, near, of_a_service}, served) == "1: 8 10.9.9.9/32");
  near.is_dead = true;
  CHECK(first({far, near}) == "1: 6 10.9.9.9/32");
  auto of_another = route("10.9.9.9/32", RTN_PROHIBIT);
  of_another.source = test::prefix("10.244.2.0/24");
  CHECK(first({of_another, route("0.0.0.0/0")}) == "1: 1 0.0.0.0/0");
}

TEST_CASE("packets are of the kinds that rules tell apart") {
  CHECK(kinds({lookup(1, 7)}) == "0 0>0 mark 0 tos 0\nspecial: ");
  CHECK(kinds({{.mark = 8, .mark_mask = 8}}) == "0 0>0 mark 0 tos 0\nspecial: ");
  CHECK(kinds({{.tos = 0x10}}) == "0 0>0 mark 0 tos 0\nspecial: 0 0>0 mark 0 tos 16");
  CHECK(kinds({{.protocol = IPPROTO_UDP, .destination_ports = PortRange{1024, 1026}}}) ==
        "6 32768>1027 mark 0 tos 0\n17 32768>1027 mark 0 tos 0\nspecial: 17 32768>1024 mark 0 tos 0");
  CHECK(kinds({{.source = test::prefix("10.99.0.0/16"), .protocol = IPPROTO_UDP}}) ==
        "0 0>0 mark 0 tos 0\nspecial: ");

  SUBCASE("and have each mark that rules ask for, where it is not known") {
    const std::vector<PolicyRule> rules{{.mark = 0x9, .mark_mask = 0xf}, {.mark = 0x10, .mark_mask = 0x30}};
    CHECK(kinds(rules, {0x9, 0}) == "0 0>0 mark 9 tos 0\nspecial: ");
    CHECK(kinds(rules, {0, 0xf}) == "0 0>0 mark 0 tos 0, 0 0>0 mark 9 tos 0\nspecial: ");
    CHECK(kinds(rules, {0, ~0U}) == "0 0>0 mark 0 tos 0, 0 0>0 mark 9 tos 0, 0 0>0 mark 16 tos 0\nspecial: ");
  }
  SUBCASE("of each protocol") {
    const auto found =
        kinds_of({{.mark = 1, .mark_mask = 1}},
                 {test::address("10.244.1.5"), test::address("10.9.9.9"), "cni0", {{1, 0}, {}}});
    REQUIRE(found.ordinary.size() == 2);
    CHECK(told(found.ordinary[0]) == "6 32768>1024 mark 1 tos 0");
    CHECK(told(found.ordinary[1]) == "17 32768>1024 mark 0 tos 0");
  }
  SUBCASE("but not without bound") {
    std::vector<PolicyRule> rules;
    for (std::uint16_t port = 1; port <= 100; ++port)
      rules.push_back({.destination_ports = PortRange{port, port}});
    CHECK(kinds(rules).ends_with("6 32768>64 mark 0 tos 0 and more"));
  }
}

}  // namespace ipmasq::routing
