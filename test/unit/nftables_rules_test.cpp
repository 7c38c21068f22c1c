#include "nat/nftables_rules.hpp"

#include <doctest/doctest.h>

#include "nat/nftables_target.hpp"
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
    for (const auto& element : set.elements) all += name + ": " + to_text(element, set.kind) + "\n";
  }
  return all;
}

Table wanted_table(const std::vector<Network>& networks) {
  return target({}, wanted_ruleset(networks));
}

std::string text(const std::vector<Network>& networks) {
  return text(wanted_table(networks));
}

}  // namespace

TEST_CASE("the table of a network") {
  auto network = test::network(
      "cbr0", R"("nonMasqueradeCIDRs": ["10.0.0.0/8", "fd00::/8"], "masqueradeCIDRs": ["10.1.2.0/24"])",
      {"10.244.1.0/24", "10.244.2.0/24", "10.9.9.9/32", "fd00:1::/64", "fd00:2::5/128"});
  network.cluster_networks = {test::prefix("10.244.0.0/16")};
  CHECK(text({network}) ==
        R"(cbr0-9bd1a990da1f: ip saddr 10.244.1.0/24 ip daddr 10.244.1.0/24 ct status dnat counter return
cbr0-9bd1a990da1f: ip saddr 10.244.1.0/24 ip daddr 10.244.1.0/24 ct original ip daddr != 10.244.1.0/24 counter return
cbr0-9bd1a990da1f: ip saddr 10.244.2.0/24 ip daddr 10.244.2.0/24 ct status dnat counter return
cbr0-9bd1a990da1f: ip saddr 10.244.2.0/24 ip daddr 10.244.2.0/24 ct original ip daddr != 10.244.2.0/24 counter return
cbr0-9bd1a990da1f: ip saddr . ip daddr @cbr0-9bd1a990da1f-self counter return
cbr0-9bd1a990da1f: ip daddr @cbr0-9bd1a990da1f-kept counter snat ip to ip saddr
cbr0-9bd1a990da1f: counter masquerade fully-random
cbr0-9bd1a990da1f-6: ip6 saddr fd00:1::/64 ip6 daddr fd00:1::/64 ct status dnat counter return
cbr0-9bd1a990da1f-6: ip6 saddr fd00:1::/64 ip6 daddr fd00:1::/64 ct original ip6 daddr != fd00:1::/64 counter return
cbr0-9bd1a990da1f-6: ip6 saddr . ip6 daddr @cbr0-9bd1a990da1f-6-self counter return
cbr0-9bd1a990da1f-6: ip6 daddr @cbr0-9bd1a990da1f-6-kept counter snat ip6 to ip6 saddr
cbr0-9bd1a990da1f-6: counter masquerade fully-random
cbr0-9bd1a990da1f-6-invalid: ip6 daddr @cbr0-9bd1a990da1f-6-kept counter return
cbr0-9bd1a990da1f-6-invalid: counter drop
cbr0-9bd1a990da1f-invalid: ip daddr @cbr0-9bd1a990da1f-kept counter return
cbr0-9bd1a990da1f-invalid: counter drop
forward: ct state invalid counter ip saddr vmap @invalid-pods
forward: ct state invalid counter ip saddr vmap @invalid-pod-subnets
forward: ct state invalid counter ip6 saddr vmap @invalid-pods6
forward: ct state invalid counter ip6 saddr vmap @invalid-pod-subnets6
postrouting: meta mark & 0x00004000 == 0x00004000 counter return
postrouting: meta mark & 0x00002000 == 0x00002000 counter return
postrouting: fib daddr type local counter return
postrouting: counter ip saddr vmap @pods
postrouting: counter ip saddr vmap @pod-subnets
postrouting: counter ip6 saddr vmap @pods6
postrouting: counter ip6 saddr vmap @pod-subnets6
cbr0-9bd1a990da1f-6-kept: fd00::/8
cbr0-9bd1a990da1f-6-kept: fe80::/10
cbr0-9bd1a990da1f-6-kept: ff00::/8
cbr0-9bd1a990da1f-6-self: fd00:2::5 . fd00:2::5
cbr0-9bd1a990da1f-kept: 10.0.0.0-10.1.1.255
cbr0-9bd1a990da1f-kept: 10.1.3.0-10.255.255.255
cbr0-9bd1a990da1f-kept: 169.254.0.0/16
cbr0-9bd1a990da1f-kept: 224.0.0.0/4
cbr0-9bd1a990da1f-self: 10.9.9.9 . 10.9.9.9
invalid-pod-subnets: 10.244.1.0-10.244.2.255 : goto cbr0-9bd1a990da1f-invalid
invalid-pod-subnets6: fd00:1::/64 : goto cbr0-9bd1a990da1f-6-invalid
invalid-pods: 10.9.9.9 : goto cbr0-9bd1a990da1f-invalid
invalid-pods6: fd00:2::5 : goto cbr0-9bd1a990da1f-6-invalid
pod-subnets: 10.244.1.0-10.244.2.255 : goto cbr0-9bd1a990da1f
pod-subnets6: fd00:1::/64 : goto cbr0-9bd1a990da1f-6
pods: 10.9.9.9 : goto cbr0-9bd1a990da1f
pods6: fd00:2::5 : goto cbr0-9bd1a990da1f-6
)");
  CHECK(wanted_table({test::network("none", "", {})}) == Table{});
}

TEST_CASE("of overlapping sources the longest decides, of equal ones the first network by name") {
  const auto table = wanted_table({test::network("b", "", {"10.1.0.0/16", "10.3.0.1/32"}),
                                   test::network("a", "", {"10.1.0.0/16", "10.3.0.1/32"}),
                                   test::network("c", "", {"10.0.0.0/8"})});
  const auto chain = [](const char* network) {
    return " : goto " + chain_name(network, net::Family::ipv4) + "\n";
  };
  const auto elements = [&table](const char* name) {
    std::string all;
    const auto& set = table.sets.at(name);
    for (const auto& element : set.elements) all += to_text(element, set.kind) + "\n";
    return all;
  };
  CHECK(elements("pod-subnets") ==
        "10.0.0.0/16" + chain("c") + "10.1.0.0/16" + chain("a") + "10.2.0.0-10.255.255.255" + chain("c"));
  CHECK(elements("pods") == "10.3.0.1" + chain("a"));
  CHECK(table.chains.contains(chain_name("b", net::Family::ipv4)));
}

TEST_CASE(
    "source ports are spread evenly over the ports, and only over the holes where there is no catch-all") {
  const auto all = text({test::network(
      "n",
      R"("masqueradeCIDRs": ["10.1.2.0/24"], "catchAll": false, "exemption": "return", "yieldMarks": ["7"],
              "toPorts": "1000-1099,2000-2299,3000", "snatTo": ["203.0.113.7"], "randomFully": false)",
      {"10.9.0.1/32"})});
  const auto chain = chain_name("n", net::Family::ipv4);
  std::string expected = "forward: ct state invalid counter ip saddr vmap @invalid-pods\n" + chain +
                         ": ip saddr . ip daddr @" + chain + "-self counter return\n" + chain +
                         ": ip daddr @" + chain + "-kept counter return\n";
  const auto start = chain + ": ip daddr @" + chain + "-masqueraded ";
  for (const auto* const protocol : {"tcp", "udp", "sctp"}) {
    const auto ported = start + "meta l4proto " + protocol + " ";
    expected += ported + "numgen random mod 401 < 100 counter snat ip to 203.0.113.7:1000-1099\n";
    expected += ported + "numgen random mod 301 < 300 counter snat ip to 203.0.113.7:2000-2299\n";
    expected += ported + "counter snat ip to 203.0.113.7:3000\n";
  }
  expected += start + "counter snat ip to 203.0.113.7\n";
  expected += chain + "-invalid: ip daddr @" + chain + "-masqueraded counter drop\n";
  CHECK(all.substr(0, all.find("postrouting:")) == expected);
  CHECK(all.find("postrouting: meta mark 0x00000007 counter return\n") != std::string::npos);
  CHECK(all.find(chain + "-masqueraded: 10.1.2.0/24\n") != std::string::npos);
}

TEST_CASE("a chain's name tells whose it is") {
  CHECK(chain_name("7th", net::Family::ipv4).starts_with("_7th-"));
  for (const auto* const network : {"cbr0", "7th", "a-b", "with.dots", "a-6", "x-0123456789ab"}) {
    CAPTURE(network);
    CHECK(network_of_chain(chain_name(network, net::Family::ipv4)) == network);
    CHECK(network_of_chain(chain_name(network, net::Family::ipv6)) == network);
  }
  CHECK(network_of_chain("cbr0-67a95ac47c50") == "cbr0");  // version 0.1.0, of network and subnet
  for (const auto* const other :
       {"postrouting", "", "-", "-6", "cbr0-67a95ac47c5", "cbr0-67a95ac47c50-7", "-67a95ac47c50"}) {
    CAPTURE(other);
    CHECK_FALSE(network_of_chain(other));
  }
}

}  // namespace ipmasq::nat::nftables
