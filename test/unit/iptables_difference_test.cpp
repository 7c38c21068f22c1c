#include "nat/iptables_difference.hpp"

#include <doctest/doctest.h>

#include <random>

#include "growth.hpp"
#include "iptables_memory_table.hpp"

namespace ipmasq::nat::iptables {

namespace {

using test::foreign_rule;
using Table = test::IptablesTable;

const std::string hook(hook_chain);
const std::string main_name(main_chain);

Ruleset two_networks(const std::string& keys = R"("masqueradeCIDRs": ["10.1.2.0/24"])") {
  return wanted_ruleset(
      {test::network("a", keys, {"10.244.1.0/24", "10.244.2.0/24"}), test::network("b", "", {"10.0.0.0/8"})});
}

Ruleset nothing() {
  return wanted_ruleset({test::network("a", "", {}), test::network("b", "", {})});
}

Table right_table() {
  Table table;
  table.chains[hook] = {foreign_rule("x"), foreign_rule("y")};
  table.chains["OTHER"] = {foreign_rule("z")};
  table.bring_to(two_networks());
  return table;
}

}  // namespace

TEST_CASE("from an empty table to the wanted one, and back to the byte") {
  Table table;
  table.chains[hook] = {foreign_rule("x")};
  const auto before = table.chains;
  table.bring_to(two_networks());

  auto expected = target({}, two_networks(), net::Family::ipv4).chains;
  expected[hook] = {hook_rule(), foreign_rule("x")};
  CHECK(table.text() == test::chains_text(expected));
  CHECK(table.bring_to(two_networks()).empty());
  table.bring_to(nothing());
  CHECK(table.chains == before);
}

TEST_CASE("whatever happened to our rules is put right, and others' stay") {
  const auto right = right_table().chains;
  std::mt19937 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same damage each time
  const auto below = [&random](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
  };
  for (int round = 0; round < 2000; ++round) {
    auto table = right_table();
    for (std::size_t blows = 1 + below(4); blows > 0; --blows) {
      auto chain = std::next(table.chains.begin(), static_cast<std::ptrdiff_t>(below(table.chains.size())));
      auto& rules = chain->second;
      if (chain->first == "OTHER" || rules.empty()) continue;
      const auto at = rules.begin() + static_cast<std::ptrdiff_t>(below(rules.size()));
      const bool is_in_hook_chain = chain->first == hook;
      const bool is_foreign = is_in_hook_chain && *at != hook_rule();
      switch (below(5)) {
        case 0:
          if (!is_foreign) rules.erase(at);
          break;
        case 1:
          if (!is_foreign) rules.insert(at, Rule(*at));
          break;
        case 2:
          if (!is_in_hook_chain) at->comment = "changed";
          break;
        case 3:
          if (!is_in_hook_chain) std::swap(*at, rules.front());
          break;
        default:
          if (!is_in_hook_chain) rules.clear();
      }
    }
    table.bring_to(two_networks());
    REQUIRE(table.text() == test::chains_text(right));
  }
}

TEST_CASE("the jump goes back to the top, and one is enough") {
  auto table = right_table();
  table.chains[hook] = {foreign_rule("first"), hook_rule(), foreign_rule("second"), hook_rule()};
  CHECK(table.bring_to(two_networks()) ==
        "out of place: -A POSTROUTING -m comment --comment \"ip-masq: pod egress\" -j IP-MASQ-PODS\n"
        "not wanted: -A POSTROUTING -m comment --comment \"ip-masq: pod egress\" -j IP-MASQ-PODS\n");
  CHECK(table.chains[hook] == std::vector{hook_rule(), foreign_rule("first"), foreign_rule("second")});
}

TEST_CASE("somebody else's rule that leads into our chains is not ours") {
  auto table = right_table();
  const Rule stray{.comment = "stray", .target = Jump{main_name}};
  const Rule narrower{
      .source = test::prefix("10.0.0.0/8"), .comment = hook_rule().comment, .target = Jump{main_name}};
  const Rule leap{.target = Goto{chain_name("a")}};
  table.chains["OTHER"] = {stray, leap};
  table.chains[hook].push_back(narrower);
  CHECK(table.bring_to(two_networks()).empty());

  const auto text = table.bring_to(nothing());
  CHECK(text.find("OTHER") == std::string::npos);
  CHECK(table.chains == Chains{{main_name, {}},
                               {chain_name("a"), {}},
                               {hook, {foreign_rule("x"), foreign_rule("y"), narrower}},
                               {"OTHER", {stray, leap}}});
  CHECK(table.bring_to(nothing()).empty());

  table.chains["OTHER"].clear();
  table.chains[hook].pop_back();
  CHECK(table.bring_to(nothing()) == "not wanted: -N IP-MASQ-PODS\nnot wanted: -N " + chain_name("a") + "\n");
}

TEST_CASE("a change of one destination leaves the other rules, and so their counters, alone") {
  auto table = right_table();
  const auto observed = table.observe();
  const auto state =
      target(observed, two_networks(R"("masqueradeCIDRs": ["10.1.3.0/24"])"), net::Family::ipv4);
  const auto edits = difference(observed, state);
  CHECK(edits.size() == 2);
  CHECK(test::lines(to_text(edits)) ==
        "missing: -A " + chain_name("a") + " -d 10.1.3.0/24 -j MASQUERADE --random-fully\n" +
            "not wanted: -A " + chain_name("a") + " -d 10.1.2.0/24 -j MASQUERADE --random-fully\n");
}

TEST_CASE("a change is undone to what was, damage included") {
  const auto right = right_table().chains;
  const auto changed = two_networks(R"("toPorts": "1024-2047,4096-8191")");
  const auto undo = [&](Table table) {
    const auto was = table.chains;
    const auto before = table.observe();
    const auto after = target(before, changed, net::Family::ipv4);
    table.bring_to(after);
    CHECK(table.bring_to(changed).empty());
    table.bring_to(as_it_was(restorable(before, after)));
    CHECK(table.text() == test::chains_text(was));
  };
  undo(right_table());
  auto damaged = right_table();
  damaged.chains[main_name].erase(damaged.chains[main_name].begin());
  damaged.chains[chain_name("b")].clear();
  damaged.chains[hook].erase(damaged.chains[hook].begin());
  undo(damaged);
  auto behind = right_table();
  behind.chains[hook] = {foreign_rule("x"), hook_rule()};
  undo(behind);
  Table empty;
  empty.chains[hook] = {foreign_rule("x")};
  undo(empty);
}

TEST_CASE("of what we never write, undoing leaves what was never touched, and tells nothing else to stand") {
  auto table = right_table();
  const Rule odd{.comment = "odd", .target = OtherTarget{"LOG"}};
  table.chains[main_name].insert(table.chains[main_name].begin(), odd);
  table.chains[chain_name("b")].push_back(odd);
  auto only_a = two_networks();
  only_a.networks = {"a"};
  std::erase_if(only_a.sources, [](const Source& source) { return source.network != "a"; });
  const auto before = table.observe();
  const auto after = target(before, only_a, net::Family::ipv4);
  table.bring_to(after);
  table.bring_to(as_it_was(restorable(before, after)));
  auto expected = right_table().chains;
  expected[chain_name("b")].push_back(odd);
  CHECK(table.text() == test::chains_text(expected));
}

TEST_CASE("a list of 10,000 that changes whole costs no more than it is long") {
  const auto ruleset = [](const std::string& first, std::size_t size) {
    std::string keys = R"("cidrLimit": 10000, "nonMasqueradeCIDRs": [)";
    for (std::size_t number = 0; number < size; ++number) {
      keys += (number == 0 ? "\"" : ", \"") + first + "." + std::to_string(number / 256) + "." +
              std::to_string(number % 256) + ".0/24\"";
    }
    return wanted_ruleset(
        {test::network("a", keys + R"(], "toPorts": "1000-1999,3000-3999,5000-5999")", {"10.244.1.0/24"})});
  };
  const auto all_changes = [&ruleset](std::size_t size) {
    Table table;
    table.bring_to(ruleset("20", size));
    return [observed = table.observe(), wanted = ruleset("30", size), size] {
      const auto state = target(observed, wanted, net::Family::ipv4);
      const auto edits = difference(observed, state);
      CHECK(edits.size() == 2 * size);
      CHECK(to_text(edits).size() == 2 * size);
    };
  };
  CHECK(test::growth_by_hundred(100, all_changes) < test::far_below_a_square);
}

}  // namespace ipmasq::nat::iptables
