#include "nat/ruleset.hpp"

#include <doctest/doctest.h>

#include "nat/network.hpp"
#include "networks.hpp"

namespace ipmasq::nat {

namespace {

std::string destinations(const NetworkChain& chain) {
  std::string text;
  for (const auto& [prefix, verdict, origin] : chain.destinations) {
    text +=
        net::to_text(prefix) + (verdict == Verdict::keep ? " keep " : " masquerade ") + origin.text() + "\n";
  }
  return text;
}

std::string order(const Ruleset& ruleset) {
  std::string text;
  for (const auto& source : ruleset.sources)
    text += net::to_text(source.prefix) + " " + source.network + "\n";
  return text;
}

}  // namespace

TEST_CASE("destinations stand longest prefix first, each with the key that lists it") {
  auto network =
      test::network("cbr0", R"("nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.1.2.0/24"])",
                    {"10.244.1.0/24"});
  network.cluster_networks = {test::prefix("10.244.0.0/16"), test::prefix("fd00::/48")};
  CHECK(destinations(wanted_ruleset({network}).chains.front()) ==
        "10.1.2.0/24 masquerade masqueradeCIDRs\n"
        "10.244.0.0/16 keep flannel's network, /run/flannel/subnet.env\n"
        "169.254.0.0/16 keep masqLinkLocal\n"
        "10.0.0.0/8 keep nonMasqueradeCIDRs\n"
        "224.0.0.0/4 keep multicast, always\n");
}

TEST_CASE("a pod subnet that nothing keeps is kept for itself") {
  const auto network = test::network(
      "cbr0", R"("nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.2.0.0/16"])", {"10.2.3.0/24"});
  CHECK(destinations(wanted_ruleset({network}).chains.front()) ==
        "10.2.3.0/24 keep the pod subnet itself, always\n"
        "10.2.0.0/16 masquerade masqueradeCIDRs\n"
        "169.254.0.0/16 keep masqLinkLocal\n"
        "10.0.0.0/8 keep nonMasqueradeCIDRs\n"
        "224.0.0.0/4 keep multicast, always\n");
}

TEST_CASE("link-local is masqueraded where the key says so, unless a list names it") {
  const auto masqueraded =
      test::network("n", R"("nonMasqueradeCIDRs": [], "masqLinkLocal": true)", {"10.1.0.0/16"});
  CHECK(destinations(wanted_ruleset({masqueraded}).chains.front()) ==
        "10.1.0.0/16 keep the pod subnet itself, always\n"
        "169.254.0.0/16 masquerade masqLinkLocal\n"
        "224.0.0.0/4 keep multicast, always\n");
  const auto listed =
      test::network("n", R"("nonMasqueradeCIDRs": ["fe80::/10"], "masqLinkLocalIPv6": true)", {"fd00::/64"});
  CHECK(destinations(wanted_ruleset({listed}).chains.front()) ==
        "fd00::/64 keep the pod subnet itself, always\n"
        "fe80::/10 keep nonMasqueradeCIDRs\n"
        "ff00::/8 keep multicast, always\n");
}

TEST_CASE("pod subnets stand longest prefix first, then by network name") {
  const auto a = test::network("a", "", {"10.1.0.0/16", "10.1.2.0/24", "fd00::/64"});
  const auto b = test::network("b", "", {"10.1.2.0/24", "10.1.2.3/32"});
  CHECK(order(wanted_ruleset({b, a})) ==
        "fd00::/64 a\n10.1.2.3/32 b\n10.1.2.0/24 a\n10.1.2.0/24 b\n10.1.0.0/16 a\n");
}

TEST_CASE("yield marks of all networks are there once; those of a network without pods are not") {
  const auto a = test::network("a", R"("yieldMarks": ["0x1/0x1", "0x4000/0x4000"])", {"10.1.0.0/16"});
  const auto b = test::network("b", "", {"10.2.0.0/16"});
  const auto none = test::network("c", R"("yieldMarks": ["0x8/0x8"])", {});
  CHECK(wanted_ruleset({a, b, none}).yield_marks ==
        std::vector<config::Mark>{{1, 1}, {0x4000, 0x4000}, {0x2000, 0x2000}});
}

TEST_CASE("one chain for each network and family that has pod subnets, and every network is decided") {
  const auto a = test::network("a", "", {"10.1.0.0/16", "10.2.0.0/16", "fd00::/64"});
  const auto ruleset = wanted_ruleset({test::network("c", "", {}), test::network("b", "", {"fd01::/64"}), a});
  std::string chains;
  for (const auto& chain : ruleset.chains)
    chains += chain.network + (chain.family == net::Family::ipv4 ? " ipv4\n" : " ipv6\n");
  CHECK(chains == "a ipv4\na ipv6\nb ipv6\n");
  CHECK(ruleset.networks == std::set<std::string>{"a", "b", "c"});
  CHECK(ruleset.has_all_sources);
  CHECK_FALSE(ruleset.has_all_marks);
  auto with_more = test::network("d", "", {});
  with_more.has_more = true;
  CHECK(wanted_ruleset({with_more}).chains.size() == 2);
  CHECK(wanted_ruleset({with_more}).yield_marks.size() == 2);
}

TEST_CASE("a single pod's own address reaches nobody, so that no rule keeps it") {
  const auto network = test::network("n", R"("nonMasqueradeCIDRs": [])", {"10.1.2.3/32"});
  CHECK(destinations(wanted_ruleset({network}).chains.front()) ==
        "169.254.0.0/16 keep masqLinkLocal\n"
        "224.0.0.0/4 keep multicast, always\n");
}

}  // namespace ipmasq::nat
