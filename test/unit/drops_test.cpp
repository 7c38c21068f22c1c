#include "nat/drops.hpp"

#include <doctest/doctest.h>
#include <netinet/in.h>

#include "nat/walk.hpp"
#include "texts.hpp"

namespace ipmasq::nat {

namespace {

ForeignChain chain(Hook hook, int priority, bool drops = false) {
  return {.family = "inet",
          .table = "theirs",
          .chain = "base",
          .priority = priority,
          .hook = hook,
          .is_nat = false,
          .program = "nft",
          .drops = drops};
}

ForeignRule rule(ForeignRule rule) {
  rule.program = "nft";
  rule.family = "inet";
  rule.table = "theirs";
  rule.chain = "base";
  rule.handle = 7;
  return rule;
}

// A new TCP connection of pods on cni0 that leaves by eth0.
Flow sent() {
  return {.sources = {test::prefix("10.244.1.0/24")},
          .in_interface = "cni0",
          .out_interface = "eth0",
          .in_devices = {"cni0", "veth1"},
          .out_devices = {"eth0"},
          .protocol = IPPROTO_TCP};
}

Flow masqueraded() {
  auto flow = sent();
  flow.translated = {test::prefix("198.18.0.1/32")};
  return flow;
}

std::string told(const std::vector<Drop>& drops) {
  std::string text;
  for (const auto& drop : drops) {
    text += text.empty() ? "" : "; ";
    text += drop.is_certain ? "" : "may: ";
    text += drop.rule ? specification(*drop.rule).substr(1) : "policy";
  }
  return text;
}

std::string dropped(ForeignChain base, std::vector<ForeignRule> rules, const Flow& flow) {
  Foreign foreign;
  foreign.chains = {std::move(base)};
  for (auto& each : rules) foreign.rules.push_back(rule(std::move(each)));
  return told(drops(foreign, flow));
}

}  // namespace

TEST_CASE("who drops is told, for certain or not") {
  const auto forward = chain(Hook::forward, 0);
  const ForeignRule drop{.program = "", .chain = "", .target = "DROP"};
  CHECK(dropped(forward, {}, sent()).empty());
  CHECK(dropped(forward, {drop}, sent()) == "-j DROP");
  CHECK(dropped(forward,
                {{.program = "", .chain = "", .in_interface = Match<std::string>{"cni0"}, .target = "DROP"}},
                sent()) == "-i cni0 -j DROP");
  CHECK(dropped(forward,
                {{.program = "", .chain = "", .in_interface = Match<std::string>{"eth0"}, .target = "DROP"}},
                sent())
            .empty());
  CHECK(
      dropped(forward,
              {{.program = "", .chain = "", .protocol = Match<std::uint32_t>{IPPROTO_UDP}, .target = "DROP"}},
              sent())
          .empty());
  CHECK(dropped(forward,
                {{.program = "",
                  .chain = "",
                  .destination = Match<net::Prefix>{test::prefix("10.9.0.0/16")},
                  .target = "DROP"}},
                sent()) == "may: -d 10.9.0.0/16 -j DROP");
  CHECK(dropped(forward, {{.program = "", .chain = "", .other_matches = {"limit"}, .target = "DROP"}},
                sent()) == "may: -m limit ... -j DROP");
}

TEST_CASE("a queue that nobody reads loses what it gets") {
  Foreign foreign;
  foreign.chains = {chain(Hook::forward, 0)};
  foreign.rules.push_back(
      rule({.program = "", .chain = "", .target = "QUEUE", .queues = Queues{.first = 6, .last = 7}}));
  auto& theirs = foreign.rules.back();
  CHECK(drops(foreign, sent()).empty());  // who reads is not known
  foreign.read_queues.emplace();
  CHECK(told(drops(foreign, sent())) == "-j QUEUE");
  CHECK(lost_queue(theirs, foreign) == 6);
  foreign.read_queues->insert(6);
  CHECK(lost_queue(theirs, foreign) == 7);
  foreign.read_queues->insert(7);
  CHECK(drops(foreign, sent()).empty());
  foreign.read_queues->clear();
  theirs.queues->may_be_unread = true;
  CHECK(drops(foreign, sent()).empty());
  theirs.queues = Queues{.first = 65535, .last = 65535};
  CHECK(lost_queue(theirs, foreign) == 65535);
  theirs.queues.reset();  // taken from a map
  CHECK(drops(foreign, sent()).empty());
}

TEST_CASE("a destination that is asked about decides") {
  auto flow = sent();
  flow.destination = test::address("10.9.9.9");
  const ForeignRule drop{.program = "",
                         .chain = "",
                         .destination = Match<net::Prefix>{test::prefix("10.9.0.0/16")},
                         .target = "DROP"};
  CHECK(dropped(chain(Hook::forward, 0), {drop}, flow) == "-d 10.9.0.0/16 -j DROP");
  flow.destination = test::address("10.8.9.9");
  CHECK(dropped(chain(Hook::forward, 0), {drop}, flow).empty());
}

TEST_CASE("a policy drops what nothing let go") {
  const auto forward = chain(Hook::forward, 0, true);
  const ForeignRule accept_new{.program = "",
                               .chain = "",
                               .states = Match<std::uint32_t>{connection_state::fresh},
                               .target = "ACCEPT"};
  auto of_udp = sent();
  of_udp.protocol = IPPROTO_UDP;
  CHECK(dropped(forward, {}, sent()) == "policy");
  CHECK(dropped(forward, {accept_new}, of_udp).empty());
  CHECK(dropped(forward, {accept_new}, sent()) == "policy");  // all but the first
  CHECK(dropped(forward, {accept_new}, answer_to(sent())) == "policy");
  const ForeignRule may_drop{.program = "", .chain = "", .other_matches = {"limit"}, .target = "DROP"};
  CHECK(dropped(forward, {may_drop}, sent()) == "may: -m limit ... -j DROP; policy");
  CHECK(dropped(forward, {{.program = "", .chain = "", .other_matches = {"limit"}, .target = "ACCEPT"}},
                sent()) == "may: policy");
}

TEST_CASE("each is followed as if it had come past the others") {
  CHECK(dropped(chain(Hook::forward, 0),
                {{.program = "",
                  .chain = "",
                  .in_interface = Match<std::string>{"cni0"},
                  .other_matches = {"limit"},
                  .target = "DROP"},
                 {.program = "", .chain = "", .target = "DROP"}},
                sent()) == "may: -i cni0 -m limit ... -j DROP; -j DROP");
}

TEST_CASE("what pods send once they were answered is followed as well, of TCP") {
  const auto forward = chain(Hook::forward, 0, true);
  const auto accepting = [](std::uint32_t states, const char* from) {
    return ForeignRule{.program = "",
                       .chain = "",
                       .in_interface = Match<std::string>{from},
                       .states = Match<std::uint32_t>{states},
                       .target = "ACCEPT"};
  };
  const std::vector back_in_alone{accepting(connection_state::fresh, "cni0"),
                                  accepting(connection_state::established, "eth0")};
  CHECK(dropped(forward, back_in_alone, sent()) == "policy");
  CHECK(dropped(forward, back_in_alone, masqueraded()) == "policy");
  CHECK(dropped(forward, back_in_alone, answer_to(sent())).empty());
  auto of_udp = sent();
  of_udp.protocol = IPPROTO_UDP;
  CHECK(dropped(forward, back_in_alone, of_udp).empty());
  auto both_ways = back_in_alone;
  both_ways.push_back(accepting(connection_state::established, "cni0"));
  CHECK(dropped(forward, both_ways, sent()).empty());
  const auto with_flags = [](std::uint8_t mask, std::uint8_t set, bool inverted) {
    return ForeignRule{.program = "",
                       .chain = "",
                       .in_interface = Match<std::string>{"cni0"},
                       .tcp_flags = Match<TcpFlags>{{mask, set}, inverted},
                       .target = "DROP"};
  };
  CHECK(dropped(chain(Hook::forward, 0), {with_flags(0x17, 0x02, true)}, sent()) ==
        "-i cni0 -m tcp ! --tcp-flags 0x17 0x02 -j DROP");
  CHECK(dropped(chain(Hook::forward, 0), {with_flags(0x1f, 0x10, false)}, sent()) ==
        "may: -i cni0 -m tcp --tcp-flags 0x1f 0x10 -j DROP");
  CHECK(dropped(chain(Hook::forward, 0), {with_flags(0x3f, 0x00, false)}, sent()).empty());
}

TEST_CASE("pieces of packets, and what a bridge hands on, are none of what is forwarded") {
  const auto asks = [](std::optional<bool> is_fragment, std::optional<bool> is_bridged) {
    return ForeignRule{
        .program = "", .chain = "", .is_fragment = is_fragment, .is_bridged = is_bridged, .target = "DROP"};
  };
  const auto forward = chain(Hook::forward, 0);
  CHECK(dropped(forward, {asks(true, {})}, sent()).empty());
  CHECK(dropped(forward, {asks(false, {})}, sent()) == "! -f -j DROP");
  CHECK(dropped(chain(Hook::prerouting, -400), {asks(true, {})}, sent()) == "may: -f -j DROP");
  CHECK(dropped(forward, {asks({}, true)}, sent()).empty());
  CHECK(dropped(forward, {asks({}, false)}, sent()) == "-m physdev ! --physdev-is-bridged -j DROP");
  auto on_the_bridge = sent();
  on_the_bridge.out_interface = "cni0";
  CHECK(dropped(forward, {asks({}, true)}, on_the_bridge) == "may: -m physdev --physdev-is-bridged -j DROP");
}

TEST_CASE("what marks a packet where it may come to marks it where it comes there") {
  Foreign foreign;
  foreign.chains = {chain(Hook::forward, 0)};
  const auto in = [](const char* name, ForeignRule each) {
    each = rule(std::move(each));
    each.chain = name;
    return each;
  };
  foreign.rules = {
      in("base",
         {.program = "", .chain = "", .other_matches = {"limit"}, .target = "policy", .is_jump = true}),
      in("policy",
         {.program = "", .chain = "", .mark_change = MarkChange{.keep = ~0x10000U, .flip = 0x10000}}),
      in("policy", {.program = "",
                    .chain = "",
                    .mark = Match<config::Mark>{{0x10000, 0x10000}, true},
                    .target = "DROP"})};
  CHECK(drops(foreign, sent()).empty());
  foreign.rules.push_back(in(
      "base",
      {.program = "", .chain = "", .mark = Match<config::Mark>{{0x10000, 0x10000}, true}, .target = "DROP"}));
  CHECK(told(drops(foreign, sent())) == "may: -m mark ! --mark 0x10000/0x10000 -j DROP");
}

TEST_CASE("an answer comes by the way out, to the pods") {
  const auto answer = answer_to(masqueraded());
  CHECK(answer.in_interface == "eth0");
  CHECK(answer.out_interface == "cni0");
  CHECK(answer.sources == std::vector{test::prefix("0.0.0.0/0")});
  CHECK(answer.destinations == sent().sources);
  CHECK(answer.translated == masqueraded().translated);
  CHECK(answer.state == connection_state::established);
}

TEST_CASE("answers that are not found again are lost, where the world has another address for the pod") {
  const auto raw = chain(Hook::prerouting, -300);
  const ForeignRule zone_of_pods{
      .program = "", .chain = "", .in_interface = Match<std::string>{"cni0"}, .zone = Zone{7}};
  const ForeignRule zone_of_answers{
      .program = "", .chain = "", .in_interface = Match<std::string>{"eth0"}, .zone = Zone{7}};
  const ForeignRule untracked{
      .program = "", .chain = "", .in_interface = Match<std::string>{"eth0"}, .untracks = true};
  CHECK(dropped(raw, {zone_of_pods}, masqueraded()) == "-i cni0 zone set 7");
  CHECK(dropped(raw, {zone_of_answers}, masqueraded()) == "-i eth0 zone set 7");
  CHECK(dropped(raw, {zone_of_pods, zone_of_answers}, masqueraded()).empty());
  CHECK(dropped(raw, {zone_of_pods}, sent()).empty());
  CHECK(dropped(raw, {untracked}, masqueraded()) == "-i eth0 notrack");
  CHECK(dropped(raw, {untracked}, sent()).empty());
  CHECK(dropped(chain(Hook::prerouting, 0), {zone_of_pods, untracked}, masqueraded()).empty());

  SUBCASE("of one direction: that of answers is where they are looked for") {
    auto sent_only = zone_of_pods;
    sent_only.zone = Zone{7, Zone::Of::sent};
    CHECK(dropped(raw, {sent_only}, masqueraded()).empty());
    CHECK(dropped(raw, {sent_only, zone_of_answers}, masqueraded()) == "-i eth0 zone set 7");
    auto answers_only = zone_of_pods;
    answers_only.zone = Zone{7, Zone::Of::answers};
    CHECK(dropped(raw, {answers_only}, masqueraded()) == "-i cni0 reply zone set 7");
    CHECK(dropped(raw, {answers_only}, sent()) == "-i cni0 reply zone set 7");
    CHECK(dropped(raw, {answers_only, zone_of_answers}, masqueraded()).empty());
    CHECK(dropped(raw, {answers_only, zone_of_answers}, sent()).empty());
    auto of_answers = zone_of_answers;
    of_answers.zone = Zone{5, Zone::Of::answers};
    CHECK(dropped(raw, {of_answers}, masqueraded()) == "-i eth0 reply zone set 5");
    of_answers.zone = Zone{5, Zone::Of::sent};
    CHECK(dropped(raw, {of_answers}, masqueraded()).empty());
  }
  SUBCASE("may be, where something else may have been before, or cannot be told") {
    auto not_read = zone_of_pods;
    not_read.zone = Zone{};
    CHECK(dropped(raw, {not_read}, masqueraded()) == "may: -i cni0 zone set");
    CHECK(dropped(raw,
                  {{.program = "", .chain = "", .other_matches = {"limit"}, .zone = Zone{8}}, zone_of_pods},
                  masqueraded()) == "may: -m limit ... zone set 8");
    const auto one = Match<net::Prefix>{test::prefix("203.0.113.9/32")};
    const ForeignRule of_one{.program = "", .chain = "", .source = one, .untracks = true};
    CHECK(dropped(raw, {of_one}, masqueraded()) == "may: -s 203.0.113.9/32 notrack");
    CHECK(dropped(raw, {of_one, untracked, of_one}, masqueraded()) ==
          "may: -s 203.0.113.9/32 notrack; -i eth0 notrack");
    CHECK(dropped(raw, {of_one}, sent()).empty());
  }
}

TEST_CASE("a walk tells the zone, and what keeps a connection out of tracking") {
  Foreign foreign;
  foreign.chains = {chain(Hook::prerouting, -300)};
  foreign.rules = {
      rule({.program = "", .chain = "", .in_interface = Match<std::string>{"cni0"}, .zone = Zone{7}}),
      rule({.program = "", .chain = "", .zone = Zone{8}}),
      rule({.program = "", .chain = "", .untracks = true})};
  const OurPlace nowhere;
  const auto flow = sent();
  Walk walk(foreign, nowhere, flow);
  walk.run();
  CHECK(walk.zone() == 7);
  REQUIRE(walk.zoned());
  CHECK(walk.zoned()->rule == &foreign.rules[0]);
  REQUIRE(walk.untracked());
  CHECK(walk.untracked()->rule == &foreign.rules[2]);
  CHECK(walk.drops().empty());
}

}  // namespace ipmasq::nat
