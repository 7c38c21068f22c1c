#include "nat/iptables_rules.hpp"

#include <doctest/doctest.h>

#include "networks.hpp"

namespace ipmasq::nat::iptables {

TEST_CASE("the chains of a network") {
  auto network =
      test::network("cbr0", R"("nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.1.2.0/24"])",
                    {"10.244.1.0/24"});
  network.cluster_networks = {test::prefix("10.244.0.0/16")};
  CHECK(
      test::chains_text({network}) ==
      R"(-A IP-MASQ-67a95ac47c50 -d 10.244.1.0/24 -m conntrack --ctstate DNAT -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-67a95ac47c50 -d 10.1.2.0/24 -j MASQUERADE --random-fully
-A IP-MASQ-67a95ac47c50 -d 10.244.0.0/16 -j ACCEPT
-A IP-MASQ-67a95ac47c50 -d 169.254.0.0/16 -j ACCEPT
-A IP-MASQ-67a95ac47c50 -d 10.0.0.0/8 -j ACCEPT
-A IP-MASQ-67a95ac47c50 -d 224.0.0.0/4 -j ACCEPT
-A IP-MASQ-67a95ac47c50 -j MASQUERADE --random-fully
-A IP-MASQ-PODS -m mark --mark 0x4000/0x4000 -m comment --comment "ip-masq: left to kube-proxy" -j RETURN
-A IP-MASQ-PODS -m mark --mark 0x2000/0x2000 -m comment --comment "ip-masq: left to portmap" -j RETURN
-A IP-MASQ-PODS -m addrtype --dst-type LOCAL -j RETURN
-A IP-MASQ-PODS -s 10.244.1.0/24 -m comment --comment "ip-masq: cbr0" -g IP-MASQ-67a95ac47c50
)");
  CHECK(wanted_chains(wanted_ruleset({network}), net::Family::ipv6).empty());
}

TEST_CASE("exemption return, no catch-all, and every destination") {
  const auto network = test::network(
      "n", R"("nonMasqueradeCIDRs": ["::/0"], "exemption": "return", "catchAll": false, "yieldMarks": ["7"])",
      {"fd00::/64"});
  const auto chain = chain_name("n", test::prefix("fd00::/64"));
  CHECK(test::chains_text({network}, net::Family::ipv6) ==
        "-A IP-MASQ-PODS -m mark --mark 0x7 -m comment --comment \"ip-masq: left alone\" -j RETURN\n"
        "-A IP-MASQ-PODS -m addrtype --dst-type LOCAL -j RETURN\n"
        "-A IP-MASQ-PODS -s fd00::/64 -m comment --comment \"ip-masq: n\" -g " +
            chain +
            "\n"
            "-A " +
            chain +
            " -d fd00::/64 -m conntrack --ctstate DNAT -m comment --comment \"ip-masq: hairpin\" -j RETURN\n"
            "-A " +
            chain +
            " -d fe80::/10 -j RETURN\n"
            "-A " +
            chain +
            " -d ff00::/8 -j RETURN\n"
            "-A " +
            chain + " -j RETURN\n");
}

TEST_CASE("source ports are spread evenly over the ports, not the ranges") {
  const auto network = test::network(
      "n",
      R"("nonMasqueradeCIDRs": [], "toPorts": "1000-1099,2000-2299,3000", "snatTo": ["2001:db8::7"], "randomFully": false)",
      {"fd00::/64"});
  const auto chain = chain_name("n", test::prefix("fd00::/64"));
  const auto all = test::chains_text({network}, net::Family::ipv6);
  std::string expected;
  for (const auto* const protocol : {"tcp", "udp", "sctp"}) {
    const auto start = "-A " + chain + " -p " + protocol;
    expected += start +
                " -m statistic --mode random --probability 0.24937655870 -j SNAT --to-source "
                "[2001:db8::7]:1000-1099\n";
    expected += start +
                " -m statistic --mode random --probability 0.99667774094 -j SNAT --to-source "
                "[2001:db8::7]:2000-2299\n";
    expected += start + " -j SNAT --to-source [2001:db8::7]:3000\n";
  }
  expected += "-A " + chain + " -j SNAT --to-source 2001:db8::7\n";
  CHECK(all.substr(all.find("-A " + chain + " -p tcp")) == expected);
}

TEST_CASE("two networks never share a chain, and chains of others are not ours") {
  CHECK(chain_name("a", test::prefix("10.1.0.0/16")) != chain_name("b", test::prefix("10.1.0.0/16")));
  CHECK(chain_name("a", test::prefix("10.1.0.0/16")) != chain_name("a", test::prefix("10.1.0.0/17")));
  CHECK(is_our_chain("IP-MASQ-PODS"));
  CHECK(is_our_chain("IP-MASQ-67a95ac47c50"));
  for (const auto* const name : {"IP-MASQ", "IP-MASQ-AGENT", "IP-MASQ-", "IP-MASQ-67a95ac47c5",
                                 "IP-MASQ-67A95AC47C50", "ip-masq", "IP-MASQX"}) {
    CAPTURE(name);
    CHECK_FALSE(is_our_chain(name));
  }
}

}  // namespace ipmasq::nat::iptables
