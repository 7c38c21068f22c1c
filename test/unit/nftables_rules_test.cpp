#include "nat/nftables_rules.hpp"

#include <doctest/doctest.h>

#include "networks.hpp"

namespace ipmasq::nat::nftables {

namespace {

// Chains with their rules, then sets with their elements, a line each.
std::string text(const Table& table) {
  std::string all;
  for (const auto& [name, chain] : table.chains) {
    for (const auto& rule : chain.rules) all += name + ": " + to_text(rule) + "\n";
  }
  for (const auto& [name, set] : table.sets) {
    for (const auto& element : set.elements) all += name + ": " + to_text(element) + "\n";
  }
  return all;
}

std::string text(const std::vector<Network>& networks) {
  return text(wanted_table(wanted_ruleset(networks)));
}

}  // namespace

TEST_CASE("the table of a network") {
  auto network = test::network(
      "cbr0", R"("nonMasqueradeCIDRs": ["10.0.0.0/8", "fd00::/8"], "masqueradeCIDRs": ["10.1.2.0/24"])",
      {"10.244.1.0/24", "fd00:1::/64"});
  network.cluster_networks = {test::prefix("10.244.0.0/16")};
  CHECK(text({network}) ==
        R"(cbr0-67a95ac47c50: ip daddr 10.244.1.0/24 ct status dnat counter return
cbr0-67a95ac47c50: ip daddr @cbr0-67a95ac47c50-kept counter snat ip to ip saddr
cbr0-67a95ac47c50: counter masquerade fully-random
cbr0-d5f802eba48c: ip6 daddr fd00:1::/64 ct status dnat counter return
cbr0-d5f802eba48c: ip6 daddr @cbr0-d5f802eba48c-kept counter snat ip6 to ip6 saddr
cbr0-d5f802eba48c: counter masquerade fully-random
postrouting: meta mark & 0x00004000 == 0x00004000 counter return
postrouting: meta mark & 0x00002000 == 0x00002000 counter return
postrouting: fib daddr type local counter return
postrouting: counter ip saddr vmap @pod-subnets
postrouting: counter ip6 saddr vmap @pod-subnets6
cbr0-67a95ac47c50-kept: 10.0.0.0-10.1.1.255
cbr0-67a95ac47c50-kept: 10.1.3.0-10.255.255.255
cbr0-67a95ac47c50-kept: 169.254.0.0/16
cbr0-67a95ac47c50-kept: 224.0.0.0/4
cbr0-d5f802eba48c-kept: fd00::/8
cbr0-d5f802eba48c-kept: fe80::/10
cbr0-d5f802eba48c-kept: ff00::/8
pod-subnets: 10.244.1.0/24 : goto cbr0-67a95ac47c50
pod-subnets6: fd00:1::/64 : goto cbr0-d5f802eba48c
)");
  CHECK(wanted_table(wanted_ruleset({test::network("none", "", {})})) == Table{});
}

TEST_CASE("of overlapping pod subnets the longest decides, of equal ones the first network by name") {
  const auto table = wanted_table(
      wanted_ruleset({test::network("b", "", {"10.1.0.0/16"}), test::network("a", "", {"10.1.0.0/16"}),
                      test::network("c", "", {"10.0.0.0/8"})}));
  const auto chain = [](const char* network, const char* subnet) {
    return " : goto " + chain_name(network, test::prefix(subnet)) + "\n";
  };
  std::string elements;
  for (const auto& element : table.sets.at("pod-subnets").elements) elements += to_text(element) + "\n";
  CHECK(elements == "10.0.0.0/16" + chain("c", "10.0.0.0/8") + "10.1.0.0/16" + chain("a", "10.1.0.0/16") +
                        "10.2.0.0-10.255.255.255" + chain("c", "10.0.0.0/8"));
  CHECK(table.chains.contains(chain_name("b", test::prefix("10.1.0.0/16"))));
}

TEST_CASE(
    "source ports are spread evenly over the ports, and only over the holes where there is no catch-all") {
  const auto all = text({test::network(
      "n",
      R"("masqueradeCIDRs": ["10.1.2.0/24"], "catchAll": false, "exemption": "return", "yieldMarks": ["7"],
              "toPorts": "1000-1099,2000-2299,3000", "snatTo": ["203.0.113.7"], "randomFully": false)",
      {"10.9.0.0/16"})});
  const auto chain = chain_name("n", test::prefix("10.9.0.0/16"));
  std::string expected = chain + ": ip daddr 10.9.0.0/16 ct status dnat counter return\n" + chain +
                         ": ip daddr @" + chain + "-kept counter return\n";
  const auto start = chain + ": ip daddr @" + chain + "-masqueraded ";
  for (const auto* const protocol : {"tcp", "udp", "sctp"}) {
    const auto ported = start + "meta l4proto " + protocol + " ";
    expected += ported + "numgen random mod 401 < 100 counter snat ip to 203.0.113.7:1000-1099\n";
    expected += ported + "numgen random mod 301 < 300 counter snat ip to 203.0.113.7:2000-2299\n";
    expected += ported + "counter snat ip to 203.0.113.7:3000\n";
  }
  expected += start + "counter snat ip to 203.0.113.7\n";
  CHECK(all.substr(0, all.find("postrouting:")) == expected);
  CHECK(all.find("postrouting: meta mark 0x00000007 counter return\n") != std::string::npos);
  CHECK(all.find(chain + "-masqueraded: 10.1.2.0/24\n") != std::string::npos);
}

TEST_CASE("a chain tells whose it is") {
  const auto subnet = test::prefix("10.1.0.0/16");
  CHECK(chain_name("7th", subnet).starts_with("_7th-"));
  for (const auto* const network : {"cbr0", "7th", "a-b", "with.dots"}) {
    CAPTURE(network);
    const auto name = chain_name(network, subnet);
    const auto entrance =
        entrance_of(name, {{.destination = subnet, .redirected = true, .statement = Return{}}});
    REQUIRE(entrance);
    CHECK(entrance->network == network);
    CHECK(entrance->subnet == subnet);
    CHECK_FALSE(entrance_of(name, {}));
    CHECK_FALSE(entrance_of(name, {{.destination = test::prefix("10.2.0.0/16"), .redirected = true}}));
  }
  CHECK_FALSE(entrance_of("postrouting", {{.destination = subnet, .redirected = true}}));
}

}  // namespace ipmasq::nat::nftables
