#include "nat/iptables_rules.hpp"

#include <doctest/doctest.h>

#include "networks.hpp"

namespace ipmasq::nat::iptables {

TEST_CASE("the chains of a network") {
  auto network =
      test::network("cbr0", R"("nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.1.2.0/24"])",
                    {"10.244.1.0/24"});
  network.cluster_networks = {test::prefix("10.244.0.0/16")};
  CHECK(test::chains_text({network}) ==
        R"(-A IP-MASQ-9bd1a990da1f -d 10.1.2.0/24 -j MASQUERADE --random-fully
-A IP-MASQ-9bd1a990da1f -d 10.244.0.0/16 -j ACCEPT
-A IP-MASQ-9bd1a990da1f -d 169.254.0.0/16 -j ACCEPT
-A IP-MASQ-9bd1a990da1f -d 10.0.0.0/8 -j ACCEPT
-A IP-MASQ-9bd1a990da1f -d 224.0.0.0/4 -j ACCEPT
-A IP-MASQ-9bd1a990da1f -j MASQUERADE --random-fully
-A IP-MASQ-PODS -m mark --mark 0x4000/0x4000 -m comment --comment "ip-masq: left to kube-proxy" -j RETURN
-A IP-MASQ-PODS -m mark --mark 0x2000/0x2000 -m comment --comment "ip-masq: left to portmap" -j RETURN
-A IP-MASQ-PODS -m addrtype --dst-type LOCAL -j RETURN
-A IP-MASQ-PODS -s 10.244.1.0/24 -d 10.244.1.0/24 -m conntrack --ctstate DNAT -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-PODS -s 10.244.1.0/24 -d 10.244.1.0/24 -m conntrack ! --ctorigdst 10.244.1.0/24 -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-PODS -s 10.244.1.0/24 -m comment --comment "ip-masq: cbr0" -g IP-MASQ-9bd1a990da1f
)");
  CHECK(test::chains_text({network}, net::Family::ipv6).empty());
}

TEST_CASE("exemption return, no catch-all, every destination, and a pod of its own") {
  const auto network = test::network(
      "n", R"("nonMasqueradeCIDRs": ["::/0"], "exemption": "return", "catchAll": false, "yieldMarks": ["7"])",
      {"fd00::/64", "fd00:1::5/128"});
  CHECK(test::chains_text({network}, net::Family::ipv6) ==
        R"(-A IP-MASQ-PODS -m mark --mark 0x7 -m comment --comment "ip-masq: left alone" -j RETURN
-A IP-MASQ-PODS -m addrtype --dst-type LOCAL -j RETURN
-A IP-MASQ-PODS -s fd00:1::5/128 -d fd00:1::5/128 -m conntrack ! --ctorigdst fd00:1::5 -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-PODS -s fd00:1::5/128 -m comment --comment "ip-masq: n" -g IP-MASQ-af63e34c8601
-A IP-MASQ-PODS -s fd00::/64 -d fd00::/64 -m conntrack --ctstate DNAT -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-PODS -s fd00::/64 -d fd00::/64 -m conntrack ! --ctorigdst fd00::/64 -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-PODS -s fd00::/64 -m comment --comment "ip-masq: n" -g IP-MASQ-af63e34c8601
-A IP-MASQ-af63e34c8601 -d fe80::/10 -j RETURN
-A IP-MASQ-af63e34c8601 -d ff00::/8 -j RETURN
-A IP-MASQ-af63e34c8601 -j RETURN
)");
}

TEST_CASE("a pod subnet that is everything, and one that two networks have") {
  const auto everything = test::network("n", R"("yieldMarks": [])", {"0.0.0.0/0", "10.1.0.0/16"});
  const auto other = test::network("m", R"("yieldMarks": [])", {"10.1.0.0/16"});
  const auto text = test::chains_text(std::vector{everything, other});
  CHECK(text.substr(0, text.find("-A IP-MASQ-af")) ==
        R"(-A IP-MASQ-PODS -m addrtype --dst-type LOCAL -j RETURN
-A IP-MASQ-PODS -s 10.1.0.0/16 -d 10.1.0.0/16 -m conntrack --ctstate DNAT -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-PODS -s 10.1.0.0/16 -d 10.1.0.0/16 -m conntrack ! --ctorigdst 10.1.0.0/16 -m comment --comment "ip-masq: hairpin" -j RETURN
-A IP-MASQ-PODS -s 10.1.0.0/16 -m comment --comment "ip-masq: m" -g IP-MASQ-af63e04c8601
-A IP-MASQ-PODS -s 10.1.0.0/16 -m comment --comment "ip-masq: n" -g IP-MASQ-af63e34c8601
-A IP-MASQ-PODS -m comment --comment "ip-masq: n" -g IP-MASQ-af63e34c8601
)");
}

TEST_CASE("source ports are spread evenly over the ports, not the ranges") {
  const auto network = test::network(
      "n",
      R"("nonMasqueradeCIDRs": [], "toPorts": "1000-1099,2000-2299,3000", "snatTo": ["2001:db8::7"], "randomFully": false)",
      {"fd00::/64"});
  const auto chain = chain_name("n");
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
  CHECK(chain_name("a") != chain_name("b"));
  CHECK(is_our_chain("IP-MASQ-PODS"));
  CHECK(is_our_chain("IP-MASQ-67a95ac47c50"));
  for (const auto* const name : {"IP-MASQ", "IP-MASQ-AGENT", "IP-MASQ-", "IP-MASQ-67a95ac47c5",
                                 "IP-MASQ-67A95AC47C50", "ip-masq", "IP-MASQX"}) {
    CAPTURE(name);
    CHECK_FALSE(is_our_chain(name));
  }
}

}  // namespace ipmasq::nat::iptables
