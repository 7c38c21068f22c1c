#include "nat/iptables_difference.hpp"

#include <doctest/doctest.h>

#include <random>

#include "networks.hpp"

namespace ipmasq::nat::iptables {

namespace {

// A nat table as libiptc would hold it: carries edits out, and refuses what libiptc refuses.
class Table {
 public:
  void carry_out(const std::vector<Edit>& edits) {
    for (const auto& edit : edits) std::visit([this](const auto& each) { carry_out(each); }, edit);
  }

  ObservedTable observe() const {
    ObservedTable table;
    for (const auto& [chain, rules] : chains) {
      for (std::size_t index = 0; index < rules.size(); ++index) {
        if (is_our_chain(chain)) {
          table.chains[chain].push_back({rules[index]});
        } else if (const auto* const jump = std::get_if<Jump>(&rules[index].target);
                   jump && is_our_chain(jump->chain)) {
          table.entrances.push_back({chain, index, {rules[index]}});
        }
      }
      if (is_our_chain(chain)) table.chains[chain];
    }
    return table;
  }

  Chains chains;  // all of the table, POSTROUTING included

 private:
  void carry_out(const CreateChain& edit) { REQUIRE(chains.try_emplace(edit.chain).second); }
  void carry_out(const DeleteChain& edit) {
    REQUIRE(chains.at(edit.chain).empty());
    chains.erase(edit.chain);
    for (const auto& [name, rules] : chains) {
      for (const auto& rule : rules)
        REQUIRE(to_text(name, rule).find(" " + edit.chain + "\n") == std::string::npos);
    }
  }
  void carry_out(const InsertRule& edit) {
    auto& rules = chains.at(edit.chain);
    REQUIRE(edit.index <= rules.size());
    rules.insert(rules.begin() + static_cast<std::ptrdiff_t>(edit.index), edit.rule);
  }
  void carry_out(const DeleteRule& edit) {
    auto& rules = chains.at(edit.chain);
    REQUIRE(edit.index < rules.size());
    REQUIRE(rules[edit.index] == edit.rule);
    rules.erase(rules.begin() + static_cast<std::ptrdiff_t>(edit.index));
  }
};

Rule foreign(const std::string& name) {
  return {.comment = name, .target = OtherTarget{"MARK"}};
}

const std::string hook(hook_chain);
const std::string main_name(main_chain);

Ruleset two_networks() {
  return wanted_ruleset(
      {test::network("a", R"("masqueradeCIDRs": ["10.1.2.0/24"])", {"10.244.1.0/24", "10.244.2.0/24"}),
       test::network("b", "", {"10.0.0.0/8"})});
}

Table right_table() {
  Table table;
  table.chains[hook] = {foreign("x"), foreign("y")};
  table.chains["OTHER"] = {foreign("z")};
  table.carry_out(difference(table.observe(), two_networks(), net::Family::ipv4));
  return table;
}

}  // namespace

TEST_CASE("from an empty table to the wanted one, and back to the byte") {
  Table table;
  table.chains[hook] = {foreign("x")};
  const auto before = table.chains;
  const auto wanted = two_networks();
  table.carry_out(difference(table.observe(), wanted, net::Family::ipv4));

  auto expected = wanted_chains(wanted, net::Family::ipv4);
  expected[hook] = {hook_rule(), foreign("x")};
  CHECK(test::chains_text(table.chains) == test::chains_text(expected));
  CHECK(difference(table.observe(), wanted, net::Family::ipv4).empty());

  auto nothing = wanted;
  nothing.pod_subnets.clear();
  table.carry_out(difference(table.observe(), nothing, net::Family::ipv4));
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
      const bool is_foreign = chain->first == hook && at->target != hook_rule().target;
      switch (below(5)) {
        case 0:
          if (!is_foreign) rules.erase(at);
          break;
        case 1:
          if (!is_foreign) rules.insert(at, Rule(*at));
          break;
        case 2:
          if (!is_foreign) at->comment = "changed";
          break;
        case 3:
          if (chain->first != hook) std::swap(*at, rules.front());
          break;
        default:
          if (chain->first != hook) rules.clear();
      }
    }
    table.carry_out(difference(table.observe(), two_networks(), net::Family::ipv4));
    REQUIRE(test::chains_text(table.chains) == test::chains_text(right));
  }
}

TEST_CASE("the jump goes back to the top, and strays into our chains go") {
  auto table = right_table();
  const auto right = table.chains;
  table.chains[hook].insert(table.chains[hook].begin(), foreign("first"));
  table.chains["OTHER"].push_back({.comment = "stray", .target = Jump{main_name}});
  const auto edits = difference(table.observe(), two_networks(), net::Family::ipv4);
  CHECK(test::lines(to_text(edits)) ==
        "out of place: -A POSTROUTING -m comment --comment \"ip-masq: pod egress\" -j IP-MASQ-PODS\n"
        "not wanted: -A OTHER -m comment --comment stray -j IP-MASQ-PODS\n");
  table.carry_out(edits);
  auto expected = right;
  expected[hook].insert(expected[hook].begin() + 1, foreign("first"));
  CHECK(table.chains == expected);
}

TEST_CASE("a change of one destination leaves the other rules, and so their counters, alone") {
  auto table = right_table();
  const auto wanted = wanted_ruleset(
      {test::network("a", R"("masqueradeCIDRs": ["10.1.3.0/24"])", {"10.244.1.0/24", "10.244.2.0/24"}),
       test::network("b", "", {"10.0.0.0/8"})});
  const auto chain = chain_name("a", test::prefix("10.244.1.0/24"));
  const auto other = chain_name("a", test::prefix("10.244.2.0/24"));
  const auto edits = difference(table.observe(), wanted, net::Family::ipv4);
  CHECK(edits.size() == 4);
  CHECK(test::lines(to_text(edits)) ==
        test::lines({
            "missing: -A " + std::min(chain, other) + " -d 10.1.3.0/24 -j MASQUERADE --random-fully",
            "missing: -A " + std::max(chain, other) + " -d 10.1.3.0/24 -j MASQUERADE --random-fully",
            "not wanted: -A " + std::min(chain, other) + " -d 10.1.2.0/24 -j MASQUERADE --random-fully",
            "not wanted: -A " + std::max(chain, other) + " -d 10.1.2.0/24 -j MASQUERADE --random-fully",
        }));
}

TEST_CASE("rules of a network that is not known stay, in their order") {
  auto table = right_table();
  const auto before = table.chains;
  auto only_b = wanted_ruleset({test::network("b", "", {"10.0.0.0/8"})});
  CHECK(difference(table.observe(), only_b, net::Family::ipv4).empty());

  auto nothing = wanted_ruleset({test::network("b", "", {})});
  table.carry_out(difference(table.observe(), nothing, net::Family::ipv4));
  auto expected = before;
  expected.erase(chain_name("b", test::prefix("10.0.0.0/8")));
  expected[main_name].pop_back();
  CHECK(test::chains_text(table.chains) == test::chains_text(expected));
  CHECK(difference(table.observe(), nothing, net::Family::ipv4).empty());
}

}  // namespace ipmasq::nat::iptables
