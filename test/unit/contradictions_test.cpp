#include "nat/contradictions.hpp"

#include <doctest/doctest.h>

#include "texts.hpp"

namespace ipmasq::nat {

namespace {

using test::address;

net::Range one(const std::string& text) {
  return {address(text), address(text)};
}

ForeignRule legacy(const std::string& table, const std::string& chain, ForeignRule rule) {
  rule.program = "iptables-legacy";
  rule.table = table;
  rule.chain = chain;
  rule.number = 1;
  return rule;
}

ForeignRule nft(const std::string& chain, ForeignRule rule) {
  rule.program = "nft";
  rule.family = "inet";
  rule.table = "theirs";
  rule.chain = chain;
  rule.handle = 7;
  return rule;
}

ForeignRule jump(const std::string& chain) {
  return {.program = "", .chain = "", .target = chain, .is_jump = true};
}

constexpr config::Mark kube_proxys{0x4000, 0x4000};

// All base chains of legacy iptables that forwarded packets meet.
std::vector<ForeignChain> legacy_chains() {
  const auto chain = [](const char* table, const char* name, int priority, Hook hook) {
    return ForeignChain{"", table, name, priority, hook, std::string(table) == "nat", "iptables-legacy"};
  };
  return {
      chain("nat", "PREROUTING", -100, Hook::prerouting), chain("nat", "POSTROUTING", 100, Hook::postrouting),
      chain("raw", "PREROUTING", -300, Hook::prerouting),
      chain("mangle", "PREROUTING", -150, Hook::prerouting), chain("mangle", "FORWARD", -150, Hook::forward)};
}

ForeignChain nat_chain(int priority) {
  return {"inet", "theirs", "base", priority, Hook::postrouting};
}

// From a pod to a destination of that fate; 203.0.113.0/24 is masqueraded, all else is kept.
Flow flow(Fate fate) {
  const auto fate_towards = [](const net::Address& destination) {
    return test::prefix("203.0.113.0/24").contains(destination) ? Fate::masqueraded : Fate::kept;
  };
  return {.sources = {test::prefix("10.244.1.5/32")},
          .destination = address(fate == Fate::masqueraded ? "203.0.113.9" : "10.9.9.9"),
          .fate = fate,
          .fate_towards = fate_towards};
}

const OurPlace in_iptables{false, {kube_proxys}};
const OurPlace in_nftables{true, {kube_proxys}};

std::string text(const Foreign& foreign, const OurPlace& ours, const Flow& asked) {
  std::string all;
  for (const auto& each : contradictions(foreign, ours, asked)) {
    all += (each.is_certain ? "" : "may be: ") + each.does + "\n  " + each.rule + "\n";
    CHECK_FALSE(each.fix.empty());
  }
  return all;
}

}  // namespace

TEST_CASE(
    "a masquerade in nftables before ours hides what is kept, and one behind ours only beside iptables") {
  const auto rule = nft("base", {.program = "", .chain = "", .target = "MASQUERADE"});
  const std::string hidden =
      "hides it behind the address of the interface by which it leaves\n"
      "  nft inet theirs base handle 7: -j MASQUERADE\n";
  CHECK(text({{rule}, {nat_chain(90)}, {}}, in_nftables, flow(Fate::kept)) == hidden);
  CHECK(text({{rule}, {nat_chain(95)}, {}}, in_nftables, flow(Fate::kept)) == "may be: " + hidden);
  CHECK(text({{rule}, {nat_chain(100)}, {}}, in_nftables, flow(Fate::kept)).empty());
  CHECK(text({{rule}, {nat_chain(100)}, {}}, {true, {}, false}, flow(Fate::kept)) == hidden);
  CHECK(text({{rule}, {nat_chain(100)}, {}}, in_iptables, flow(Fate::kept)) == hidden);
  CHECK(text({{rule}, {nat_chain(90)}, {}}, in_iptables, flow(Fate::masqueraded)).empty());
  CHECK(text({{rule}, {nat_chain(90)}, {}}, in_nftables, flow(Fate::left_alone)).empty());
  auto to_an_address = flow(Fate::masqueraded);
  to_an_address.snat_to = one("198.18.0.7");
  CHECK(text({{rule}, {nat_chain(90)}, {}}, in_nftables, to_an_address) == hidden);
}

TEST_CASE("another address than ours is another source, the same one is not") {
  const auto rule =
      nft("base", {.program = "", .chain = "", .target = "SNAT", .translates_to = one("198.18.0.7")});
  const Foreign foreign{{rule}, {nat_chain(90)}, {}};
  CHECK(text(foreign, in_nftables, flow(Fate::masqueraded)) ==
        "gives it the source 198.18.0.7\n"
        "  nft inet theirs base handle 7: -j SNAT --to-source 198.18.0.7\n");
  auto to_the_same = flow(Fate::masqueraded);
  to_the_same.snat_to = one("198.18.0.7");
  CHECK(text(foreign, in_nftables, to_the_same).empty());
}

TEST_CASE("of legacy iptables only what stands above our jump") {
  auto rule = legacy("nat", "POSTROUTING", {.program = "", .chain = "", .target = "MASQUERADE"});
  CHECK(text({{rule}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)).empty());
  CHECK(text({{rule}, legacy_chains(), {}}, in_nftables, flow(Fate::kept)).empty());
  rule.is_above_ours = true;
  CHECK(text({{rule}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)) ==
        "hides it behind the address of the interface by which it leaves\n"
        "  iptables-legacy -t nat -A POSTROUTING -j MASQUERADE\n");

  auto leads = legacy("nat", "POSTROUTING", jump("THEIRS"));
  const auto in_chain = [](const char* target) {
    return legacy("nat", "THEIRS", {.program = "", .chain = "", .target = target});
  };
  CHECK(text({{leads, in_chain("MASQUERADE")}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)).empty());
  leads.is_above_ours = true;
  CHECK(text({{leads, in_chain("MASQUERADE")}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)) ==
        "hides it behind the address of the interface by which it leaves\n"
        "  iptables-legacy -t nat -A THEIRS -j MASQUERADE\n");
  CHECK(text({{leads, in_chain("ACCEPT")}, legacy_chains(), {}}, in_iptables, flow(Fate::masqueraded)) ==
        "lets it go before our rules are asked\n"
        "  iptables-legacy -t nat -A THEIRS -j ACCEPT\n");
  CHECK(text({{leads, in_chain("ACCEPT")}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)).empty());
  CHECK(
      text({{leads, in_chain("ACCEPT")}, legacy_chains(), {}}, in_nftables, flow(Fate::masqueraded)).empty());
  CHECK(
      text({{leads, in_chain("RETURN")}, legacy_chains(), {}}, in_iptables, flow(Fate::masqueraded)).empty());
  rule.target = "RETURN";
  CHECK(text({{rule}, legacy_chains(), {}}, in_iptables, flow(Fate::masqueraded)) ==
        "lets it go before our rules are asked\n"
        "  iptables-legacy -t nat -A POSTROUTING -j RETURN\n");
}

TEST_CASE("NOTRACK matters to what is masqueraded, where something leads to it") {
  const auto untrack = [](const std::string& chain, ForeignRule rule) {
    rule.target = "CT";
    rule.untracks = true;
    return legacy("raw", chain, std::move(rule));
  };
  const Foreign foreign{{untrack("PREROUTING", {.program = "", .chain = ""})}, legacy_chains(), {}};
  CHECK(text(foreign, in_iptables, flow(Fate::masqueraded)) ==
        "keeps it out of connection tracking: nothing translates it, and the pod's own address goes out\n"
        "  iptables-legacy -t raw -A PREROUTING -j CT --notrack\n");
  CHECK(text(foreign, in_iptables, flow(Fate::kept)).empty());
  const auto elsewhere = untrack("ELSEWHERE", {.program = "", .chain = ""});
  CHECK(text({{elsewhere}, legacy_chains(), {}}, in_iptables, flow(Fate::masqueraded)).empty());
  const auto leads = legacy("raw", "PREROUTING", jump("ELSEWHERE"));
  CHECK_FALSE(text({{leads, elsewhere}, legacy_chains(), {}}, in_iptables, flow(Fate::masqueraded)).empty());
  const auto of_ports =
      untrack("PREROUTING", {.program = "", .chain = "", .protocol = {{17U}}, .other_matches = {"udp"}});
  CHECK(text({{of_ports}, legacy_chains(), {}}, in_iptables, flow(Fate::masqueraded)) ==
        "may be: keeps it out of connection tracking: nothing translates it, and the pod's own address goes "
        "out\n"
        "  iptables-legacy -t raw -A PREROUTING -p 17 -m udp ... -j CT --notrack\n");
  for (const auto* const source : {"10.244.2.0/24", "fd00::/8"}) {
    const auto of_others =
        untrack("PREROUTING", {.program = "", .chain = "", .source = {{test::prefix(source)}}});
    CHECK(text({{of_others}, legacy_chains(), {}}, in_iptables, flow(Fate::masqueraded)).empty());
  }
}

TEST_CASE("a mark is followed on its way") {
  const auto mark = [](const std::string& chain, MarkChange change, ForeignRule rule) {
    rule.target = "MARK";
    rule.mark_change = change;
    return legacy("mangle", chain, std::move(rule));
  };
  const auto set = mark("PREROUTING", {.keep = ~0x4000U, .flip = 0x4000}, {.program = "", .chain = ""});
  const auto cleared = mark("FORWARD", {.keep = ~0x4000U}, {.program = "", .chain = ""});
  const auto perhaps_cleared =
      mark("FORWARD", {.keep = ~0x4000U}, {.program = "", .chain = "", .other_matches = {"set"}});
  const std::string told =
      "sets the mark 0x4000/0x4000, for which our rules leave it to others (yieldMarks)\n"
      "  iptables-legacy -t mangle -A PREROUTING -j MARK --set-xmark 0x4000/0x4000\n";
  CHECK(text({{set}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)) == told);
  CHECK(text({{set, cleared}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)).empty());
  CHECK(text({{set, perhaps_cleared}, legacy_chains(), {}}, in_nftables, flow(Fate::kept)) ==
        "may be: " + told);
  // A connection that is new has no mark of its own yet.
  const auto restored = mark("PREROUTING", {.other = ~0U}, {.program = "", .chain = ""});
  CHECK(text({{restored}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)).empty());
  const auto of_connection = [](const std::string& chain, MarkChange change) {
    return legacy("mangle", chain,
                  {.program = "", .chain = "", .target = "CONNMARK", .connection_mark_change = change});
  };
  const auto back = mark("FORWARD", {.other = ~0U}, {.program = "", .chain = ""});
  const auto yields = of_connection("PREROUTING", {.flip = 0x4000});
  const std::string told_of_back =
      "sets the mark 0x4000/0x4000, for which our rules leave it to others (yieldMarks)\n"
      "  iptables-legacy -t mangle -A FORWARD -j MARK mark set\n";
  const auto known = [](const std::vector<ForeignRule>& rules) {
    return text({{rules.begin(), rules.end()}, legacy_chains(), {}}, in_iptables, flow(Fate::kept));
  };
  CHECK(known({yields, back}) == told_of_back);
  CHECK(known({of_connection("PREROUTING", {.flip = 0x1}), back}).empty());
  CHECK(known({yields, of_connection("PREROUTING", {}), back}).empty());
  CHECK(known({set, of_connection("PREROUTING", {.other = ~0U}), cleared, back}).ends_with(told_of_back));
  CHECK(known({of_connection("PREROUTING", {.unknown = ~0U}), back}) == "may be: " + told_of_back);
  const auto asked = mark("FORWARD", {.keep = ~0x4000U, .flip = 0x4000},
                          {.program = "", .chain = "", .connection_mark = {{{0x1, 0xff}}}});
  CHECK(known({asked}).empty());
  CHECK_FALSE(known({of_connection("PREROUTING", {.flip = 0x1}), asked}).starts_with("may be"));
  CHECK_FALSE(known({of_connection("PREROUTING", {.flip = 0x1}), asked}).empty());
  const auto hashed = mark("PREROUTING", {.unknown = ~0U}, {.program = "", .chain = ""});
  CHECK(text({{hashed}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)) ==
        "may be: sets the mark 0x4000/0x4000, for which our rules leave it to others (yieldMarks)\n"
        "  iptables-legacy -t mangle -A PREROUTING -j MARK mark set\n");
}

TEST_CASE("a mark out of a map is the one that the map has for the packet") {
  auto rule = nft("base", {.program = "", .chain = "", .mark_change = MarkChange{.unknown = ~0U}});
  const Lookup by_source{.set = "marks", .source_at = 0};
  rule.lookups = {by_source};
  rule.mark_map = by_source;
  const ForeignChain base{"inet", "theirs", "base", -150, Hook::prerouting, false};
  const auto has = [](const char* key, std::uint32_t mark) {
    return ForeignElement{.first = key, .last = key, .number = mark};
  };
  const auto said = [&](std::vector<ForeignElement> elements) {
    return text({{rule}, {base}, {{"inet", "theirs", "marks", std::move(elements)}}}, in_iptables,
                flow(Fate::kept));
  };
  const auto* const pods = "\x0a\xf4\x01\x05";
  const auto* const others = "\x0a\xf4\x02\x05";
  const std::string told =
      "sets the mark 0x4000/0x4000, for which our rules leave it to others (yieldMarks)\n"
      "  nft inet theirs base handle 7: -s @marks mark set\n";
  CHECK(said({has(pods, 0x4001), has(others, 0x100)}) == told);
  CHECK(said({has(pods, 0x100), has(others, 0x4000)}).empty());
  CHECK(said({has(others, 0x4000)}).empty());
  CHECK(said({}).empty());
  CHECK(said({has(others, 0x100), has("", 0x4000)}) == told);
  CHECK(said({has(pods, 0x100), has("", 0x4000)}).empty());
  // Of a key that is not told, any element may be meant.
  rule.lookups.clear();
  rule.mark_map = Lookup{.set = "marks"};
  CHECK(said({has("\x01\x00\x00\x00", 0x100), has("\x02\x00\x00\x00", 0x200)}).empty());
  CHECK(said({has("\x01\x00\x00\x00", 0x100), has("\x02\x00\x00\x00", 0x4000)}).starts_with("may be: sets"));
}

TEST_CASE("who sets a mark that is not known is not told to") {
  const Foreign foreign{
      {nft("base", {.program = "", .chain = "", .mark_change = MarkChange{.unknown = ~0U}})},
      {{"inet", "theirs", "base", -150, Hook::prerouting, false}},
      {}};
  const auto found = contradictions(foreign, in_iptables, flow(Fate::kept));
  REQUIRE(found.size() == 1);
  CHECK(found.front().kind == Contradiction::Kind::not_known);
  CHECK_FALSE(found.front().is_certain);
  CHECK(found.front().fix ==
        "have its owner spare the pods, or take it away: # nft delete rule inet theirs base handle 7");
}

TEST_CASE("marks of kube-proxy are set on connections to services") {
  const auto marks = legacy("nat", "KUBE-MARK-MASQ",
                            {.program = "",
                             .chain = "",
                             .target = "MARK",
                             .mark_change = MarkChange{.keep = ~0x4000U, .flip = 0x4000}});
  auto service = legacy("nat", "PREROUTING", jump("KUBE-MARK-MASQ"));
  service.other_matches = {"set"};
  CHECK(text({{service, marks}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)).empty());
  service.other_matches = {};
  service.destination = {test::prefix("10.9.9.9/32")};
  CHECK_FALSE(text({{service, marks}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)).empty());
}

TEST_CASE("a redirection matters where it leads to another fate") {
  const auto redirect = [](Redirection to, ForeignRule rule) {
    rule.target = to.to_this_node ? "REDIRECT" : "DNAT";
    rule.redirection = to;
    return legacy("nat", "PREROUTING", std::move(rule));
  };
  const ForeignRule all{.program = "", .chain = ""};
  const auto answer = [&](const ForeignRule& rule) {
    return text({{rule}, legacy_chains(), {}}, in_iptables, flow(Fate::kept));
  };
  CHECK(answer(redirect({.to = one("10.244.2.9")}, all)).empty());
  CHECK(answer(redirect({.to = one("203.0.113.5")}, all)) ==
        "sends it to 203.0.113.5, which is masqueraded\n"
        "  iptables-legacy -t nat -A PREROUTING -j DNAT --to-destination 203.0.113.5\n");
  CHECK(answer(redirect({.to_this_node = true}, all)) ==
        "hands it to a program on this node\n  iptables-legacy -t nat -A PREROUTING -j REDIRECT\n");
  CHECK(answer(redirect({}, all)) ==
        "may be: sends it elsewhere\n  iptables-legacy -t nat -A PREROUTING -j DNAT\n");
  const ForeignRule of_another{.program = "", .chain = "", .destination = {{test::prefix("10.96.0.1/32")}}};
  CHECK(answer(redirect({.to = one("203.0.113.5")}, of_another)).empty());
  CHECK(answer(redirect({.to = one("203.0.113.5")}, {.program = "", .chain = "", .to_local = true})).empty());
}

TEST_CASE("a map of nftables leads on by its elements") {
  auto look = nft("base", {.program = "", .chain = ""});
  look.verdicts = Lookup{.set = "services", .destination_at = 0};
  const auto rewrite = nft("theirs", {.program = "", .chain = "", .rewrites_source = true});
  const auto element = [](const std::string& destination) {
    const auto bytes = address(destination).bytes;
    const std::string key(bytes.begin(), bytes.begin() + 4);
    return ForeignElement{key, key, "theirs", true, true};
  };
  const ForeignChain base{"inet", "theirs", "base", 0, Hook::forward, false};
  const auto answer = [&](const std::string& destination) {
    const ForeignSet set{"inet", "theirs", "services", {element(destination)}};
    return text({{look, rewrite}, {base}, {set}}, in_nftables, flow(Fate::kept));
  };
  CHECK(answer("10.9.9.8").empty());
  CHECK(answer("10.9.9.9") ==
        "rewrites the source outside NAT\n  nft inet theirs theirs handle 7: saddr set\n");
}

TEST_CASE("chains that lead to one another in many ways are walked once") {
  std::deque<ForeignRule> rules{legacy("mangle", "PREROUTING", jump("C0"))};
  constexpr int depth = 60;
  for (int level = 0; level < depth; ++level) {
    for (int times = 0; times < 2; ++times) {
      rules.push_back(legacy("mangle", "C" + std::to_string(level), jump("C" + std::to_string(level + 1))));
    }
  }
  CHECK(text({rules, legacy_chains(), {}}, in_iptables, flow(Fate::kept)).empty());
}

TEST_CASE("chains are followed so far and no further") {
  const std::string told =
      "may be: leads it on in more ways than are followed here\n  iptables-legacy -t mangle -A C";
  std::deque<ForeignRule> deep{legacy("mangle", "PREROUTING", jump("C0"))};
  constexpr int depth = 20000;
  for (int level = 0; level < depth; ++level) {
    deep.push_back(legacy("mangle", "C" + std::to_string(level), jump("C" + std::to_string(level + 1))));
  }
  CHECK(text({deep, legacy_chains(), {}}, in_iptables, flow(Fate::kept)).starts_with(told));

  // Each chain comes to the next one with another mark each time.
  std::deque<ForeignRule> wide{legacy("mangle", "PREROUTING", jump("C0"))};
  constexpr unsigned bits = 28;
  for (unsigned bit = 0; bit < bits; ++bit) {
    const auto chain = "C" + std::to_string(bit);
    const auto mark = [&](std::uint32_t flip) {
      return legacy("mangle", chain,
                    {.program = "",
                     .chain = "",
                     .target = "MARK",
                     .mark_change = MarkChange{.keep = ~(1U << bit), .flip = flip}});
    };
    for (const auto flip : {1U << bit, 0U}) {
      wide.push_back(legacy("mangle", chain, jump("C" + std::to_string(bit + 1))));
      wide.push_back(mark(flip));
    }
  }
  wide.push_back(legacy("mangle", "C" + std::to_string(bits), {.program = "", .chain = ""}));
  CHECK(text({wide, legacy_chains(), {}}, OurPlace{}, flow(Fate::kept)).starts_with(told));
}

TEST_CASE("a part of a rule is reached where the parts before it matched") {
  const auto first = [](ForeignRule rule) {
    rule.mark_change = MarkChange{.flip = 0x4000};
    return nft("base", std::move(rule));
  };
  const auto second = nft("base", {.program = "",
                                   .chain = "",
                                   .parts_before = " -s 10.244.1.5/32 --set-xmark 0x4000/0xffffffff",
                                   .rewrites_source = true});
  const ForeignChain base{"inet", "theirs", "base", 0, Hook::forward, false};
  const auto answer = [&](const char* source) {
    return text(
        {{first({.program = "", .chain = "", .source = {{test::prefix(source)}}}), second}, {base}, {}},
        in_nftables, flow(Fate::masqueraded));
  };
  CHECK(answer("10.244.1.6/32").empty());
  CHECK(answer("10.244.1.5/32") ==
        "rewrites the source outside NAT\n"
        "  nft inet theirs base handle 7: -s 10.244.1.5/32 --set-xmark 0x4000/0xffffffff saddr set\n"
        "sets the mark 0x4000/0x4000, for which our rules leave it to others (yieldMarks)\n"
        "  nft inet theirs base handle 7: -s 10.244.1.5/32 --set-xmark 0x4000/0xffffffff\n");
}

TEST_CASE("interfaces are those that a hook has") {
  const auto rewrites = [](const char* in, const char* out) {
    ForeignRule rule{.program = "", .chain = "", .rewrites_source = true};
    if (*in != '\0') rule.in_interface = Match<std::string>{in};
    if (*out != '\0') rule.out_interface = Match<std::string>{out};
    return nft("base", std::move(rule));
  };
  auto asked = flow(Fate::kept);
  asked.in_interface = "cni0";
  asked.in_devices = {"cni0", "v-1"};
  asked.out_interface = "eth0";
  asked.out_devices = {"eth0"};
  const auto answer = [&](const char* family, Hook hook, std::vector<std::string> devices, const char* in,
                          const char* out) {
    auto rule = rewrites(in, out);
    rule.family = family;
    const ForeignChain base{family, "theirs", "base", 0, hook, false, "nft", std::move(devices)};
    const auto said = text({{rule}, {base}, {}}, in_nftables, asked);
    return said.empty() ? "no" : said.starts_with("may be") ? "may" : "yes";
  };
  CHECK(answer("bridge", Hook::ingress, {}, "v-+", "") == std::string("yes"));
  CHECK(answer("bridge", Hook::ingress, {}, "cni0", "") == std::string("no"));
  CHECK(answer("bridge", Hook::egress, {}, "", "") == std::string("no"));
  CHECK(answer("netdev", Hook::ingress, {"v-1"}, "v-1", "") == std::string("may"));
  CHECK(answer("netdev", Hook::ingress, {"v-1"}, "cni0", "") == std::string("no"));
  CHECK(answer("netdev", Hook::ingress, {"v-2"}, "", "") == std::string("no"));
  CHECK(answer("netdev", Hook::egress, {"eth0"}, "", "eth0") == std::string("yes"));
  CHECK(answer("netdev", Hook::egress, {"eth0"}, "cni0", "") == std::string("no"));
  CHECK(answer("inet", Hook::prerouting, {}, "cni0", "") == std::string("yes"));
  CHECK(answer("inet", Hook::prerouting, {}, "v-1", "") == std::string("no"));
  CHECK(answer("inet", Hook::prerouting, {}, "", "eth0") == std::string("no"));
  CHECK(answer("inet", Hook::forward, {}, "cni0", "eth0") == std::string("yes"));
  // Of many pods, only by which interfaces they come.
  asked.in_interface.reset();
  CHECK(answer("inet", Hook::prerouting, {}, "eth0", "") == std::string("no"));
  CHECK(answer("inet", Hook::prerouting, {}, "cni0", "") == std::string("may"));
  asked.in_devices.clear();
  CHECK(answer("inet", Hook::prerouting, {}, "eth0", "") == std::string("may"));
}

TEST_CASE("an address where an element has none may be meant") {
  auto look = nft("base", {.program = "", .chain = "", .rewrites_source = true});
  look.lookups = {{.set = "those", .destination_at = 4, .inverted = true}};
  const ForeignChain base{"inet", "theirs", "base", 0, Hook::forward, false};
  const ForeignSet set{"inet", "theirs", "those", {ForeignElement{"\x0a\x09\x09\x09", "\x0a\x09\x09\x09"}}};
  CHECK(text({{look}, {base}, {set}}, in_nftables, flow(Fate::kept)) ==
        "may be: rewrites the source outside NAT\n  nft inet theirs base handle 7: ! -d @those saddr set\n");
}

TEST_CASE("behind what is not known, nothing is certain") {
  const auto unknown =
      legacy("mangle", "PREROUTING", {.program = "", .chain = "", .target = "NEW", .is_not_known = true});
  auto masquerade = legacy("nat", "POSTROUTING", {.program = "", .chain = "", .target = "MASQUERADE"});
  masquerade.is_above_ours = true;
  CHECK(text({{unknown, masquerade}, legacy_chains(), {}}, in_iptables, flow(Fate::kept)) ==
        "may be: does to it what is not known here\n"
        "  iptables-legacy -t mangle -A PREROUTING -j NEW\n"
        "may be: hides it behind the address of the interface by which it leaves\n"
        "  iptables-legacy -t nat -A POSTROUTING -j MASQUERADE\n");
}

TEST_CASE("what is redirected for certain has the fate of where it goes") {
  const auto to = [](const char* destination) {
    return legacy(
        "nat", "PREROUTING",
        {.program = "", .chain = "", .target = "DNAT", .redirection = Redirection{.to = one(destination)}});
  };
  auto hides = legacy("nat", "POSTROUTING", {.program = "", .chain = "", .target = "MASQUERADE"});
  hides.is_above_ours = true;
  const auto found =
      contradictions({{to("203.0.113.5"), hides}, legacy_chains(), {}}, in_iptables, flow(Fate::kept));
  REQUIRE(found.size() == 1);  // there, masqueraded is what it is anyhow
  CHECK(found[0].becomes == Fate::masqueraded);
  const auto back =
      contradictions({{to("10.9.9.8"), hides}, legacy_chains(), {}}, in_iptables, flow(Fate::masqueraded));
  REQUIRE(back.size() == 2);
  CHECK(back[0].becomes == Fate::kept);
  CHECK(back[1].kind == Contradiction::Kind::translated_by_others);
}

TEST_CASE("of two nat chains at one place either may translate") {
  const auto redirects = [](const char* chain, const char* destination) {
    return nft(
        chain,
        {.program = "", .chain = "", .target = "DNAT", .redirection = Redirection{.to = one(destination)}});
  };
  const auto chain = [](const char* name) {
    return ForeignChain{"inet", "theirs", name, -90, Hook::prerouting};
  };
  CHECK(text({{redirects("one", "203.0.113.5"), redirects("two", "203.0.113.6")},
              {chain("one"), chain("two")},
              {}},
             in_nftables, flow(Fate::kept)) ==
        "may be: sends it to 203.0.113.5, which is masqueraded\n"
        "  nft inet theirs one handle 7: -j DNAT --to-destination 203.0.113.5\n"
        "may be: sends it to 203.0.113.6, which is masqueraded\n"
        "  nft inet theirs two handle 7: -j DNAT --to-destination 203.0.113.6\n");
}

TEST_CASE("text of others as a terminal can show it") {
  CHECK(printable("caf\u00e9 \u4e2d \U0001f600") == "caf\u00e9 \u4e2d \U0001f600");
  CHECK(printable("a\x1b[31m\n\x7f") == R"(a\x1b[31m\x0a\x7f)");
  CHECK(printable("\xff\xc0\xaf\xed\xa0\x80\xe2\x82") == R"(\xff\xc0\xaf\xed\xa0\x80\xe2\x82)");
  CHECK(printable("\u0085\u202e") == R"(\xc2\x85\xe2\x80\xae)");
  CHECK(shell_word("cni0") == "cni0");
  CHECK(shell_word("a'; reboot") == R"('a'\''; reboot')");
  CHECK(shell_word("") == "''");
}

TEST_CASE("addresses that no router forwards to") {
  for (const auto* const text :
       {"255.255.255.255", "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.9.9.9", "::1", "::"}) {
    CHECK(net::is_never_forwarded(address(text)));
  }
  for (const auto* const text : {"255.255.255.254", "1.0.0.0", "10.0.0.1", "::2", "fe80::1"}) {
    CHECK_FALSE(net::is_never_forwarded(address(text)));
  }
}

}  // namespace ipmasq::nat
