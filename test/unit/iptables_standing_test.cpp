#include "nat/iptables_standing.hpp"

#include <doctest/doctest.h>

#include "iptables_memory_table.hpp"

namespace ipmasq::nat::iptables {

namespace {

using Table = test::IptablesTable;

const std::string main_name(main_chain);

Table table_of(const std::string& keys,
               const std::vector<std::string>& subnets = {"10.244.1.0/24", "10.244.1.7/32"},
               net::Family family = net::Family::ipv4) {
  Table table;
  table.bring_to(wanted_ruleset({test::network("a", keys, subnets)}), family);
  return table;
}

std::string told(const Table& table, const char* source, const char* destination) {
  const auto found = standing(table.observe(), test::address(source), test::address(destination));
  if (!found) return "not asked";
  const auto* const fate = found->fate == Fate::kept          ? "kept: "
                           : found->fate == Fate::masqueraded ? "masqueraded: "
                                                              : "left alone: ";
  return (found->is_certain ? fate : "perhaps: ") + found->rule;
}

}  // namespace

TEST_CASE("the rule that decides, as it stands") {
  const auto table = table_of(R"("masqueradeCIDRs": ["10.1.2.0/24"])");
  CHECK(told(table, "10.244.1.5", "10.9.9.9") == "kept: -A IP-MASQ-af63dc4c8601 -d 10.0.0.0/8 -j ACCEPT");
  CHECK(told(table, "10.244.1.5", "10.1.2.9") ==
        "masqueraded: -A IP-MASQ-af63dc4c8601 -d 10.1.2.0/24 -j MASQUERADE --random-fully");
  CHECK(told(table, "10.244.1.5", "10.244.1.6") == "kept: -A IP-MASQ-af63dc4c8601 -d 10.0.0.0/8 -j ACCEPT");
  CHECK(told(table, "10.244.1.7", "8.8.8.8") ==
        "masqueraded: -A IP-MASQ-af63dc4c8601 -j MASQUERADE --random-fully");
  CHECK(told(table, "10.244.2.5", "8.8.8.8") == "not asked");
  CHECK(told(table, "fd00::5", "2001:db8::1") == "not asked");
  CHECK(told(table, "10.244.1.5", "2001:db8::1") == "not asked");
}

TEST_CASE("source ports change nothing about the fate; what nothing names is left to others") {
  CHECK(told(table_of(R"("toPorts": "1000-1999,3000-3999", "snatTo": ["203.0.113.7"])"), "10.244.1.5",
             "8.8.8.8") ==
        "masqueraded: -A IP-MASQ-af63dc4c8601 -j SNAT --to-source 203.0.113.7 --random-fully");
  CHECK(
      told(table_of(R"("catchAll": false)"), "10.244.1.5", "8.8.8.8") ==
      R"(left alone: -A IP-MASQ-PODS -s 10.244.1.0/24 -m comment --comment "ip-masq: a" -g IP-MASQ-af63dc4c8601)");
  CHECK(told(table_of(R"("exemption": "return")"), "10.244.1.5", "10.9.9.9") ==
        "left alone: -A IP-MASQ-af63dc4c8601 -d 10.0.0.0/8 -j RETURN");
  CHECK(told(table_of("", {"fd00::/64"}, net::Family::ipv6), "fd00::5", "fd01::1") ==
        "kept: -A IP-MASQ-af63dc4c8601 -d fc00::/7 -j ACCEPT");
}

TEST_CASE("nothing is asked where the jump or the main chain is not there") {
  auto table = table_of("");
  SUBCASE("no jump") {
    table.chains[std::string(hook_chain)].clear();
  }
  SUBCASE("somebody else's jump") {
    table.chains[std::string(hook_chain)] = {{.comment = "mine", .target = Jump{main_name}}};
  }
  SUBCASE("an empty main chain") {
    table.chains[main_name].clear();
  }
  CHECK(told(table, "10.244.1.5", "10.9.9.9") == "not asked");
}

TEST_CASE("a rule that may match and would do something else makes it uncertain") {
  auto table = table_of("");
  auto& main = table.chains[main_name];
  auto& chain = table.chains[chain_name("a")];
  const auto* const kept = "kept: -A IP-MASQ-af63dc4c8601 -d 10.0.0.0/8 -j ACCEPT";
  CHECK(told(table, "10.244.1.5", "10.9.9.9") == kept);
  SUBCASE("the same fate") {
    chain.insert(chain.begin(), {.target = Accept{}, .other_matches = "-o eth1"});
    CHECK(told(table, "10.244.1.5", "10.9.9.9") == kept);
    CHECK(told(table, "10.244.1.5", "8.8.8.8") == "perhaps: -A IP-MASQ-af63dc4c8601 -o eth1 -j ACCEPT");
  }
  SUBCASE("of another destination") {
    chain.insert(
        chain.begin(),
        {.destination = test::prefix("10.8.0.0/16"), .target = SourceNat{}, .other_matches = "-o eth1"});
    CHECK(told(table, "10.244.1.5", "10.9.9.9") == kept);
    CHECK(told(table, "10.244.1.5", "10.8.9.9") ==
          "perhaps: -A IP-MASQ-af63dc4c8601 -d 10.8.0.0/16 -o eth1 -j MASQUERADE");
  }
  SUBCASE("without a target it only counts") {
    chain.insert(chain.begin(), {.target = OtherTarget{""}});
    main.insert(main.begin(), {.target = OtherTarget{""}, .other_matches = "-o eth1"});
    CHECK(told(table, "10.244.1.5", "10.9.9.9") == kept);
  }
  SUBCASE("a target that is none of ours") {
    chain.insert(chain.begin(), {.target = OtherTarget{"NETMAP"}});
    CHECK(told(table, "10.244.1.5", "10.9.9.9") == "perhaps: -A IP-MASQ-af63dc4c8601 -j NETMAP");
  }
  SUBCASE("in the main chain") {
    main.insert(main.begin(), {.target = Return{}, .other_matches = "-o eth1"});
    CHECK(told(table, "10.244.1.5", "10.9.9.9") == "perhaps: -A IP-MASQ-PODS -o eth1 -j RETURN");
  }
  SUBCASE("a yield rule that unmarked packets match") {
    main.insert(main.begin(), yield_rule({0, 1}));
    CHECK(told(table, "10.244.1.5", "10.9.9.9") == "perhaps: " + to_text(main_name, yield_rule({0, 1})));
  }
}

TEST_CASE("sources in order") {
  const auto observed = table_of("", {"10.244.1.0/24", "10.244.1.7/32", "0.0.0.0/0"}).observe();
  std::string text;
  for (const auto& source : sources(observed, net::Family::ipv4))
    text += net::to_text(source.prefix) + " " + source.network + "\n";
  CHECK(text == "10.244.1.7/32 a\n10.244.1.0/24 a\n0.0.0.0/0 a\n");
}

}  // namespace ipmasq::nat::iptables
