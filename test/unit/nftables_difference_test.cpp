#include "nat/nftables_difference.hpp"

#include <doctest/doctest.h>

#include <random>

#include "growth.hpp"
#include "nat/nftables_target.hpp"
#include "networks.hpp"
#include "nftables_memory_table.hpp"

namespace ipmasq::nat::nftables {

namespace {

using Kernel = test::NftablesTable;

Network network_a(const std::string& hole = "10.1.2.0/24") {
  return test::network("a", R"("masqueradeCIDRs": [")" + hole + R"("])",
                       {"10.244.1.0/24", "10.244.2.0/24", "10.9.9.1/32", "10.9.9.2/32"});
}

Network network_b() {
  return test::network("b", "", {"10.0.0.0/8", "fd00::/64", "fd01::1/128"});
}

Ruleset two_networks() {
  return wanted_ruleset({network_a(), network_b()});
}

Kernel kernel_with(const Ruleset& ruleset) {
  Kernel kernel;
  kernel.apply(ruleset);
  return kernel;
}

Kernel right_kernel() {
  return kernel_with(two_networks());
}

Source source(const char* prefix, const char* network) {
  return {test::prefix(prefix), network};
}

std::string sources_text(const ObservedTable& table) {
  std::string all;
  for (const auto& lead : leads_of(table))
    all += net::to_text(lead.source.prefix) + " " + lead.source.network + " " + lead.chain + "\n";
  return all;
}

// A chain as version 0.1.0 made it: one for each pod subnet, whose hairpin rule names the destination only.
void add_old_chain(Kernel& kernel, const std::string& name, const char* subnet) {
  const auto prefix = test::prefix(subnet);
  std::vector<Edit> edits;
  if (!kernel.table.exists) {
    edits = {AddTable{}, AddChain{"postrouting", true},
             AddSet{"pod-subnets", net::Family::ipv4, SetKind::chain_of_range},
             InsertRule{"postrouting", {}, {.to_local = true, .statement = Return{}}},
             InsertRule{"postrouting", {}, {.statement = Dispatch{net::Family::ipv4, "pod-subnets"}}}};
  }
  edits.insert(
      edits.end(),
      {AddChain{name}, AddElements{"pod-subnets", SetKind::chain_of_range, {{net::range_of(prefix), name}}},
       InsertRule{name, {}, {.destination = prefix, .redirected = true, .statement = Return{}}},
       InsertRule{name, {}, {.statement = SourceNat{{}, {}, true}}}});
  kernel.carry_out(edits);
}

}  // namespace

TEST_CASE("from nothing to the wanted table, and back") {
  auto kernel = right_kernel();
  CHECK(difference(kernel.table, target(kernel.table, two_networks())).empty());
  CHECK(kernel.table.chains.size() == 8);
  CHECK(kernel.table.sets.size() == 13);
  auto nothing = two_networks();
  nothing.sources.clear();
  const auto edits = difference(kernel.table, target(kernel.table, nothing));
  CHECK(edits == std::vector<Edit>{DeleteTable{}});
  kernel.carry_out(edits);
  CHECK(difference(kernel.table, target(kernel.table, nothing)).empty());
}

TEST_CASE("whatever happened to our table is put right") {
  const auto right = right_kernel().text();
  std::mt19937 random(2);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same damage each time
  const auto below = [&random](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
  };
  for (int round = 0; round < 2000; ++round) {
    auto kernel = right_kernel();
    auto& table = kernel.table;
    for (std::size_t blows = 1 + below(4); blows > 0; --blows) {
      auto chain = std::next(table.chains.begin(), static_cast<std::ptrdiff_t>(below(table.chains.size())));
      auto set = std::next(table.sets.begin(), static_cast<std::ptrdiff_t>(below(table.sets.size())));
      auto& rules = chain->second.rules;
      auto& elements = set->second.set.elements;
      if (rules.empty() || elements.empty()) continue;
      const auto rule = rules.begin() + static_cast<std::ptrdiff_t>(below(rules.size()));
      const auto element = elements.begin() + static_cast<std::ptrdiff_t>(below(elements.size()));
      switch (below(10)) {
        case 0:
          rules.erase(rule);
          break;
        case 1:
          rules.insert(rule, {rule->rule, 1000 + below(1000000)});
          break;
        case 2:
          rule->rule.other = " (changed)";
          break;
        case 3:
          std::swap(*rule, rules.front());
          break;
        case 4:
          rules.clear();
          break;
        case 5:
          elements.erase(element);
          break;
        case 6:
          element->range.last = element->range.first;
          break;
        case 7:
          elements.clear();
          break;
        case 8:
          table.trouble = "is dormant";
          break;
        default:
          chain->second.trouble = "has another policy";
      }
    }
    kernel.apply(two_networks());
    REQUIRE(kernel.text() == right);
  }
}

TEST_CASE("a change of the list leaves all rules, and so their counters, alone") {
  const auto kernel = right_kernel();
  const auto wanted = wanted_ruleset({network_a("10.1.3.0/24"), network_b()});
  const auto edits = difference(kernel.table, target(kernel.table, wanted));
  const auto set = "set " + kept_set(chain_name("a", net::Family::ipv4)) + ": ";
  CHECK(test::lines(to_text(edits)) == "missing: " + set + "10.0.0.0-10.1.2.255\n" +  //
                                           "missing: " + set +
                                           "10.1.4.0-10.255.255.255\n"  //
                                           "not wanted: " +
                                           set + "10.0.0.0-10.1.1.255\n" + "not wanted: " + set +
                                           "10.1.3.0-10.255.255.255\n");
}

TEST_CASE("what belongs to networks that are not decided about stays") {
  auto kernel = right_kernel();
  CHECK(difference(kernel.table, target(kernel.table, wanted_ruleset({network_b()}))).empty());

  SUBCASE("when the other network goes") {
    kernel.apply(wanted_ruleset({test::network("b", "", {})}));
    CHECK(kernel.text() == kernel_with(wanted_ruleset({network_a()})).text());
  }
  SUBCASE("when the first of two with one source goes, the other leads") {
    kernel.apply(wanted_ruleset({network_a(), network_b(), test::network("aa", "", {"10.0.0.0/8"})}));
    const auto map = [&kernel] { return kernel.table.sets.at("pod-subnets").set.elements.front().value; };
    CHECK(map() == chain_name("aa", net::Family::ipv4));
    kernel.apply({.gone = {source("10.0.0.0/8", "aa")}});
    CHECK(map() == chain_name("b", net::Family::ipv4));
    CHECK(kernel.text() == right_kernel().text());
  }
  SUBCASE("but for what is gone, and the chain goes with the last source") {
    kernel.apply({.gone = {source("10.244.1.0/24", "a"), source("10.9.9.1/32", "a")}});
    auto rest = network_a();
    rest.pod_subnets = {test::prefix("10.244.2.0/24"), test::prefix("10.9.9.2/32")};
    CHECK(kernel.text() == kernel_with(wanted_ruleset({rest, network_b()})).text());
    kernel.apply({.gone = {source("10.9.9.2/32", "a")}});
    rest.pod_subnets = {test::prefix("10.244.2.0/24")};
    CHECK(kernel.text() == kernel_with(wanted_ruleset({rest, network_b()})).text());
    kernel.apply({.gone = {source("10.244.2.0/24", "a")}});
    CHECK(kernel.text() == kernel_with(wanted_ruleset({network_b()})).text());
    kernel.apply({.gone = {source("10.0.0.0/8", "b"), source("fd00::/64", "b"), source("fd01::1/128", "b")}});
    CHECK_FALSE(kernel.table.exists);
  }
  SUBCASE("verbatim, whatever somebody did to it") {
    auto& rules = kernel.table.chains.at(chain_name("a", net::Family::ipv4)).rules;
    rules.back().rule.other = " (limit)";
    rules.erase(rules.begin());
    const auto before = kernel.text();
    kernel.apply(wanted_ruleset({network_b()}));
    CHECK(kernel.text() == before);
  }
}

TEST_CASE("a subnet that single addresses lead from another network is no source of theirs") {
  auto late = test::network("late", "", {"10.1.1.6/32", "10.1.2.0/24"});
  late.shared_subnets = {test::prefix("10.1.1.0/24"), test::prefix("10.0.0.0/8")};
  const auto early = wanted_ruleset({test::network("z", "", {"10.1.1.0/24", "10.0.0.0/8"})});
  auto kernel = kernel_with(early);
  kernel.apply(wanted_ruleset({late}));
  const auto chain = chain_name("late", net::Family::ipv4);
  const auto of_z = chain_name("z", net::Family::ipv4);
  const auto sources = "10.0.0.0/8 z " + of_z + "\n10.1.1.0/24 z " + of_z + "\n10.1.1.6/32 late " + chain +
                       "\n10.1.2.0/24 late " + chain + "\n";
  CHECK(sources_text(kernel.table) == sources);
  const auto right = kernel.text();
  CHECK(right.find("ip saddr 10.1.1.0/24 ip daddr 10.1.1.0/24 ct status dnat") !=
        right.rfind("ip saddr 10.1.1.0/24 ip daddr 10.1.1.0/24 ct status dnat"));  // of both
  SUBCASE("a call of the other leaves it as it is") {
    kernel.apply(early);
  }
  SUBCASE("and puts its own part right") {
    kernel.apply({.gone = {source("10.1.1.0/24", "z"), source("10.0.0.0/8", "z")}});
    CHECK(sources_text(kernel.table) == "10.1.1.6/32 late " + chain + "\n10.1.2.0/24 late " + chain + "\n");
    kernel.apply(early);
  }
  CHECK(kernel.text() == right);
  CHECK(sources_text(kernel.table) == sources);
  kernel.apply({.gone = {source("10.1.1.6/32", "late"), source("10.1.2.0/24", "late")}});
  CHECK(kernel.text() == kernel_with(early).text());
}

TEST_CASE("a subnet that others are in as well is no source where what single addresses have is lost") {
  const auto both = [] {
    auto with_hosts = test::network("late", "", {"10.1.1.6/32", "10.1.1.7/32"});
    with_hosts.shared_subnets = {test::prefix("10.1.1.0/24")};
    return wanted_ruleset({with_hosts});
  };
  auto kernel = kernel_with(both());
  const auto right = kernel.text();
  const auto sources = sources_text(kernel.table);
  const auto self = self_set(chain_name("late", net::Family::ipv4));
  SUBCASE("all of it") {
    kernel.table.sets.at(self).set.elements.clear();
  }
  SUBCASE("with the set") {
    kernel.table.sets.erase(self);
    std::erase_if(kernel.table.chains.at(chain_name("late", net::Family::ipv4)).rules,
                  [](const auto& each) { return each.rule.pair_in.has_value(); });
  }
  CHECK(sources_text(kernel.table).find("/24") == std::string::npos);
  auto wanted = both();
  wanted.has_all_sources = false;
  kernel.apply(wanted);
  CHECK(kernel.text() == right);
  CHECK(sources_text(kernel.table) == sources);
}

TEST_CASE("sources of a decided network stay where not all of them are known, and lead to the wanted chain") {
  auto kernel = right_kernel();
  auto wanted = wanted_ruleset({test::network("a", "", {"10.244.3.0/24"})});
  wanted.has_all_sources = false;
  auto all = network_a();
  all.netconf = test::network("a", "", {}).netconf;
  all.pod_subnets.insert(test::prefix("10.244.3.0/24"));

  SUBCASE("all of them") {
    kernel.apply(wanted);
    CHECK(kernel.text() == kernel_with(wanted_ruleset({all, network_b()})).text());
  }
  SUBCASE("but for those that are gone") {
    wanted.gone = {source("10.244.1.0/24", "a"), source("10.9.9.2/32", "a")};
    kernel.apply(wanted);
    for (const auto& each : wanted.gone) all.pod_subnets.erase(each.prefix);
    CHECK(kernel.text() == kernel_with(wanted_ruleset({all, network_b()})).text());
  }
  SUBCASE("those of a family that nothing is wanted of keep their chain") {
    auto ipv4_only = wanted_ruleset({test::network("b", "", {"10.0.0.0/8"})});
    ipv4_only.has_all_sources = false;
    CHECK(difference(kernel.table, target(kernel.table, ipv4_only)).empty());
    ipv4_only.has_all_sources = true;
    kernel.apply(ipv4_only);
    CHECK_FALSE(kernel.table.chains.contains(chain_name("b", net::Family::ipv6)));
  }
  SUBCASE("where the rules that tell them were lost, by the maps") {
    for (auto& [name, chain] : kernel.table.chains) {
      if (name == chain_name("a", net::Family::ipv4))
        std::erase_if(chain.rules, [](const auto& each) { return each.rule.destination.has_value(); });
    }
    kernel.table.sets.at(self_set(chain_name("a", net::Family::ipv4))).set.elements.clear();
    const auto chain = " a " + chain_name("a", net::Family::ipv4) + "\n";
    CHECK(sources_text(kernel.table)
              .starts_with("10.0.0.0/8 b " + chain_name("b", net::Family::ipv4) + "\n" + "10.9.9.1/32" +
                           chain + "10.9.9.2/32" + chain + "10.244.1.0/24" + chain + "10.244.2.0/24" +
                           chain));
    kernel.apply(wanted);
    CHECK(kernel.text() == kernel_with(wanted_ruleset({all, network_b()})).text());
  }
}

TEST_CASE("yield marks of others stay while a network stays that is not decided about") {
  const auto with = [](const char* name, const char* marks, const char* subnet) {
    return test::network(name, std::string(R"("yieldMarks": [)") + marks + "]", {subnet});
  };
  const auto marks = [](const Kernel& kernel) {
    std::string all;
    for (const auto& each : kernel.table.chains.at("postrouting").rules) {
      if (each.rule.mark) all += config::to_text(*each.rule.mark) + " ";
    }
    return all;
  };
  auto kernel = kernel_with(
      wanted_ruleset({with("a", R"("1", "2")", "10.1.0.0/16"), with("b", R"("3")", "10.2.0.0/16")}));
  CHECK(marks(kernel) == "0x1 0x2 0x3 ");
  kernel.apply(wanted_ruleset({with("b", R"("4")", "10.2.0.0/16")}));
  CHECK(marks(kernel) == "0x1 0x2 0x3 0x4 ");
  CHECK(difference(kernel.table, target(kernel.table, wanted_ruleset({with("b", R"("4")", "10.2.0.0/16")})))
            .empty());
  auto ruleset = wanted_ruleset({with("b", R"("4")", "10.2.0.0/16")});
  ruleset.yield_marks.insert(ruleset.yield_marks.begin(), config::Mark{2});
  ruleset.has_all_marks = true;
  kernel.apply(ruleset);
  CHECK(marks(kernel) == "0x2 0x4 ");
  kernel.apply(wanted_ruleset({with("a", "", "10.1.0.0/16"), with("b", R"("5")", "10.2.0.0/16")}));
  CHECK(marks(kernel) == "0x5 ");
  auto without = with("b", R"("5")", "10.3.0.0/16");
  without.pod_subnets.clear();
  without.has_more = true;
  ruleset = wanted_ruleset({without});
  ruleset.has_all_sources = false;
  CHECK(difference(kernel.table, target(kernel.table, ruleset)).empty());
}

TEST_CASE("the tables of version 0.1.0 are taken over") {
  Kernel kernel;
  add_old_chain(kernel, "a-000000000001", "10.244.1.0/24");
  add_old_chain(kernel, "a-000000000002", "10.9.9.1/32");
  add_old_chain(kernel, "b-000000000003", "10.3.0.0/16");
  CHECK(sources_text(kernel.table) ==
        "10.3.0.0/16 b b-000000000003\n10.9.9.1/32 a a-000000000002\n10.244.1.0/24 a a-000000000001\n");
  auto wanted = wanted_ruleset({test::network("a", "", {"10.244.1.0/24"})});
  SUBCASE("the sources that stay lead to the wanted chain") {
    wanted.has_all_sources = false;
    kernel.apply(wanted);
    const auto chain = chain_name("a", net::Family::ipv4);
    CHECK(sources_text(kernel.table) ==
          "10.3.0.0/16 b b-000000000003\n10.9.9.1/32 a " + chain + "\n10.244.1.0/24 a " + chain + "\n");
    CHECK(kernel.table.chains.size() == 6);
    CHECK(kernel.table.sets.at("pods").set.elements.front().value == chain);
  }
  SUBCASE("the others go, and what is not decided about leads where it led") {
    kernel.apply(wanted);
    CHECK(sources_text(kernel.table) ==
          "10.3.0.0/16 b b-000000000003\n10.244.1.0/24 a " + chain_name("a", net::Family::ipv4) + "\n");
  }
  SUBCASE("nothing at all remains of them") {
    const auto all = wanted_ruleset({network_a(), test::network("b", "", {"10.3.0.0/16"})});
    kernel.apply(all);
    CHECK(kernel.text() == kernel_with(all).text());
  }
}

TEST_CASE("every change can be undone") {
  const std::vector<Ruleset> rulesets{
      two_networks(),
      wanted_ruleset({network_a("10.1.3.0/24")}),
      wanted_ruleset({test::network("b", "", {})}),
      wanted_ruleset({test::network("c", R"("catchAll": false, "toPorts": "1-9,20-29")", {"10.9.9.9/32"})}),
      wanted_ruleset({test::network("a", "", {}), test::network("b", "", {})}),
      {.gone = {source("10.244.1.0/24", "a"), source("fd01::1/128", "b")}}};
  for (const auto& first : rulesets) {
    for (const auto& second : rulesets) {
      auto kernel = kernel_with(first);
      const auto before = kernel.table;
      const auto text = kernel.text();
      kernel.apply(second);
      kernel.carry_out(difference(kernel.table, as_table(before)));
      CHECK(kernel.text() == text);
      CHECK(kernel.table.exists == before.exists);
    }
  }
}

TEST_CASE("damage that no edit mends is named, and the table made anew") {
  auto kernel = right_kernel();
  const auto right = kernel.text();
  std::string why;
  SUBCASE("of a chain") {
    kernel.table.chains.at("postrouting").trouble = "has another priority";
    why = "chain postrouting has another priority";
  }
  SUBCASE("of a set") {
    kernel.table.sets.at("pods").set.kind = SetKind::ranges;
    why = "set pods is of another type";
  }
  const auto edits = difference(kernel.table, target(kernel.table, two_networks()));
  CHECK(test::lines(to_text(edits)) == "damaged: table inet ip-masq: " + why + "\n");
  kernel.carry_out(edits);
  CHECK(kernel.text() == right);
}

TEST_CASE("an edit says what it is about") {
  CHECK(subject_of(AddTable{}) == "table inet ip-masq");
  CHECK(subject_of(AddElements{"s", SetKind::ranges, {}}) == "elements of set s");
  CHECK(subject_of(InsertRule{"postrouting", {}, {.to_local = true, .statement = Return{}}}) ==
        "chain postrouting: fib daddr type local counter return");
}

TEST_CASE("long lists cost no more than they are long") {
  const auto network = [](unsigned offset, std::size_t size) {
    std::string listed;
    for (std::size_t number = 0; number < size; ++number) {
      listed += (listed.empty() ? "\"11." : ", \"11.") + std::to_string(number / 256) + "." +
                std::to_string(number % 256) + "." + std::to_string(offset) + "/32\"";
    }
    return test::network("a", R"("cidrLimit": 10000, "nonMasqueradeCIDRs": [)" + listed + "]",
                         {"10.244.1.0/24", "fd00::/64"});
  };
  const auto all_changes = [&network](std::size_t size) {
    ObservedTable observed{.exists = true};
    const auto standing = target({}, wanted_ruleset({network(1, size)}));
    for (const auto& [name, chain] : standing.chains) {
      auto& there = observed.chains[name];
      there.is_base = chain.is_base;
      for (const auto& rule : chain.rules) there.rules.push_back({rule, there.rules.size() + 1});
    }
    for (const auto& [name, set] : standing.sets) observed.sets[name].set = set;
    return [observed, wanted = wanted_ruleset({network(2, size)}), size] {
      CHECK(to_text(difference(observed, target(observed, wanted))).size() == 2 * size);
    };
  };
  CHECK(test::growth_by_hundred(100, all_changes) < test::far_below_a_square);
}

}  // namespace ipmasq::nat::nftables
