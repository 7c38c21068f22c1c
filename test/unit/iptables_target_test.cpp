#include "nat/iptables_target.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "iptables_memory_table.hpp"

namespace ipmasq::nat::iptables {

namespace {

using Table = test::IptablesTable;

const std::string main_name(main_chain);

Ruleset of_network(const std::string& name, const std::vector<std::string>& subnets,
                   const std::string& keys = "") {
  return wanted_ruleset({test::network(name, keys, subnets)});
}

// Of networks a (two pod subnets, a pod of its own) and b, whose yield marks differ.
Table table_of_two() {
  Table table;
  table.bring_to(wanted_ruleset({test::network("a", "", {"10.244.1.0/24", "10.244.2.0/24", "10.3.0.5/32"}),
                                 test::network("b", R"("yieldMarks": ["0x1/0x1"])", {"10.5.0.0/16"})}));
  return table;
}

// "SOURCE -> CHAIN" and "mark MARK" of the main chain.
std::string leads(const Table& table) {
  const auto main = table.chains.find(main_name);
  if (main == table.chains.end()) return "";
  std::string text;
  for (const auto& rule : main->second) {
    if (is_yield_rule(rule)) text += "mark " + config::to_text(*rule.mark) + "\n";
    if (const auto source = source_of(rule, net::Family::ipv4)) {
      text += net::to_text(source->prefix) + " " + source->network;
      if (std::get<Goto>(rule.target).chain != chain_name(source->network)) text += " by another chain";
      text += "\n";
    }
  }
  return text;
}

}  // namespace

TEST_CASE("what is not decided about stays to the byte") {
  auto table = table_of_two();
  table.chains[chain_name("b")].pop_back();  // not mended by a call that does not know its configuration
  const auto before = table.text();
  auto ruleset = of_network("a", {"10.244.1.0/24", "10.244.2.0/24", "10.3.0.5/32"});
  CHECK(table.bring_to(ruleset).empty());
  CHECK(table.bring_to(of_network("c", {})).empty());
  CHECK(table.text() == before);
}

TEST_CASE("what is redirected into a pod's subnet is left to others, also where its own address leads") {
  Table table;
  table.bring_to(of_network("a", {"10.244.1.0/24", "10.244.1.5/32", "10.3.0.5/32"}));
  std::string hairpins;
  for (const auto& rule : table.chains[main_name]) {
    if (is_hairpin_rule(rule))
      hairpins += net::to_text(*rule.source) + " in " + net::to_text(*rule.destination) + "\n";
  }
  CHECK(hairpins ==
        "10.3.0.5/32 in 10.3.0.5/32\n"
        "10.244.1.5/32 in 10.244.1.0/24\n"
        "10.244.1.5/32 in 10.244.1.0/24\n"
        "10.244.1.0/24 in 10.244.1.0/24\n"
        "10.244.1.0/24 in 10.244.1.0/24\n");
}

TEST_CASE(
    "what is redirected into another network's subnet is left to others where single addresses lead from "
    "it") {
  Table table;
  table.bring_to(of_network("z", {"10.244.1.0/24"}));
  auto late = test::network("late", "", {"10.244.1.6/32"});
  late.shared_subnets = {test::prefix("10.244.1.0/24")};
  table.bring_to(wanted_ruleset({late}));
  const auto text = table.text();
  const std::string start = "-A IP-MASQ-PODS -s 10.244.1.6/32 ";
  const std::string hairpin = "-m comment --comment \"ip-masq: hairpin\" -j RETURN\n";
  CHECK(text.find(start + "-d 10.244.1.0/24 -m conntrack --ctstate DNAT " + hairpin + start +
                  "-d 10.244.1.0/24 -m conntrack ! --ctorigdst 10.244.1.0/24 " + hairpin + start +
                  "-m comment --comment \"ip-masq: late\" -g " + chain_name("late") + "\n") !=
        std::string::npos);
  CHECK(table.bring_to(of_network("z", {"10.244.1.0/24"})).empty());
  CHECK(table.text() == text);
}

TEST_CASE("sources that are not told go, unless more may be there") {
  auto table = table_of_two();
  auto ruleset = of_network("a", {"10.244.1.0/24"}, R"("catchAll": false)");
  ruleset.has_all_sources = false;
  SUBCASE("more may be there") {
    CHECK(table.bring_to(ruleset) == "not wanted: -A IP-MASQ-af63dc4c8601 -j MASQUERADE --random-fully\n");
    CHECK(leads(table) ==
          "mark 0x4000/0x4000\nmark 0x2000/0x2000\nmark 0x1/0x1\n"
          "10.3.0.5/32 a\n10.244.1.0/24 a\n10.244.2.0/24 a\n10.5.0.0/16 b\n");
  }
  SUBCASE("all are told") {
    ruleset.has_all_sources = true;
    table.bring_to(ruleset);
    CHECK(leads(table) ==
          "mark 0x4000/0x4000\nmark 0x2000/0x2000\nmark 0x1/0x1\n10.244.1.0/24 a\n10.5.0.0/16 b\n");
  }
  SUBCASE("one of them is gone") {
    ruleset.gone = {{test::prefix("10.3.0.5/32"), "a"}};
    table.bring_to(ruleset);
    CHECK(leads(table) ==
          "mark 0x4000/0x4000\nmark 0x2000/0x2000\nmark 0x1/0x1\n"
          "10.244.1.0/24 a\n10.244.2.0/24 a\n10.5.0.0/16 b\n");
  }
}

TEST_CASE("a source that is gone goes whoever decides about its network, and the last takes all along") {
  auto table = table_of_two();
  Ruleset ruleset;
  ruleset.gone = {{test::prefix("10.5.0.0/16"), "b"}};
  CHECK(table.bring_to(ruleset).find("-N " + chain_name("b")) != std::string::npos);
  CHECK(leads(table) ==
        "mark 0x4000/0x4000\nmark 0x2000/0x2000\nmark 0x1/0x1\n"
        "10.3.0.5/32 a\n10.244.1.0/24 a\n10.244.2.0/24 a\n");
  CHECK_FALSE(table.chains.contains(chain_name("b")));

  ruleset.gone = {{test::prefix("10.244.1.0/24"), "a"},
                  {test::prefix("10.244.2.0/24"), "a"},
                  {test::prefix("10.3.0.5/32"), "b"}};  // another network's
  table.bring_to(ruleset);
  CHECK(leads(table) == "mark 0x4000/0x4000\nmark 0x2000/0x2000\nmark 0x1/0x1\n10.3.0.5/32 a\n");
  ruleset.gone = {{test::prefix("10.3.0.5/32"), "a"}};
  table.bring_to(ruleset);
  CHECK(table.chains == Chains{{std::string(hook_chain), {}}});
}

TEST_CASE("marks of others stay while others are there, in the order in which they are") {
  const auto marks = [](Ruleset ruleset, bool all) {
    auto table = table_of_two();
    ruleset.has_all_marks = all;
    const auto told = table.bring_to(ruleset);
    const auto text = leads(table);
    return text.substr(0, text.rfind("mark")) +
           text.substr(text.rfind("mark"), text.find('\n', text.rfind("mark")) - text.rfind("mark"));
  };
  const auto b = of_network("b", {"10.5.0.0/16"}, R"("yieldMarks": ["0x8/0x8"])");
  CHECK(marks(b, false) == "mark 0x4000/0x4000\nmark 0x2000/0x2000\nmark 0x1/0x1\nmark 0x8/0x8");
  CHECK(marks(b, true) == "mark 0x8/0x8");
  auto only_b = b;
  only_b.networks = {"a", "b"};
  CHECK(marks(only_b, false) == "mark 0x8/0x8");
}

TEST_CASE("chains of version 0.1.0, one for each pod subnet") {
  const auto old_chain = std::string("IP-MASQ-0123456789ab");
  const auto subnet = test::prefix("10.244.1.0/24");
  const Rule old_source{.source = subnet, .comment = "ip-masq: a", .target = Goto{old_chain}};
  Table table;
  table.chains[std::string(hook_chain)] = {hook_rule()};
  table.chains[main_name] = {to_local_rule(), old_source};
  table.chains[old_chain] = {{.destination = subnet,
                              .redirected = Redirected::by_status,
                              .comment = "ip-masq: hairpin",
                              .target = Return{}},
                             {.target = Accept{}}};
  SUBCASE("stay as they are while their network is not decided about") {
    auto ruleset = of_network("b", {});
    ruleset.has_all_sources = false;
    CHECK(table.bring_to(ruleset).empty());
    CHECK(leads(table) == "10.244.1.0/24 a by another chain\n");
  }
  SUBCASE("become the network's chain, whether or not the subnet is told") {
    auto ruleset = of_network("a", {"10.244.2.0/24"});
    ruleset.has_all_sources = false;
    table.bring_to(ruleset);
    const auto expected =
        test::chains_text(std::vector{test::network("a", "", {"10.244.1.0/24", "10.244.2.0/24"})});
    CHECK(table.text() == expected + test::chains_text(Chains{{std::string(hook_chain), {hook_rule()}}}));
  }
  SUBCASE("stay where the network has no chain of that family any more") {
    auto ruleset = of_network("a", {"fd00::/64"}, R"("yieldMarks": [])");
    ruleset.has_all_sources = false;
    CHECK(table.bring_to(ruleset).empty());
  }
}

TEST_CASE("the main chain is right, whoever's sources stay") {
  auto table = table_of_two();
  const auto right = table.text();
  auto& main = table.chains[main_name];
  std::erase(main, to_local_rule());
  main.push_back(test::foreign_rule("odd"));
  std::ranges::reverse(main);
  table.chains[std::string(hook_chain)].clear();
  auto ruleset = of_network("c", {});
  table.bring_to(ruleset);
  CHECK(leads(table) ==
        "mark 0x1/0x1\nmark 0x2000/0x2000\nmark 0x4000/0x4000\n"
        "10.3.0.5/32 a\n10.244.1.0/24 a\n10.244.2.0/24 a\n10.5.0.0/16 b\n");
  table.bring_to(wanted_ruleset({test::network("a", "", {"10.244.1.0/24", "10.244.2.0/24", "10.3.0.5/32"}),
                                 test::network("b", R"("yieldMarks": ["0x1/0x1"])", {"10.5.0.0/16"})}));
  CHECK(table.text() == right);
}

TEST_CASE("a subnet that two networks have keeps one set of hairpin rules") {
  Table table;
  table.bring_to(of_network("a", {"10.1.0.0/16"}));
  auto ruleset = of_network("b", {"10.1.0.0/16"});
  table.bring_to(ruleset);
  CHECK(table.text() == test::chains_text(std::vector{test::network("a", "", {"10.1.0.0/16"}),
                                                      test::network("b", "", {"10.1.0.0/16"})}) +
                            test::chains_text(Chains{{std::string(hook_chain), {hook_rule()}}}));
}

}  // namespace ipmasq::nat::iptables
