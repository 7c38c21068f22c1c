#include "nat/ruleset.hpp"

#include <doctest/doctest.h>

#include "networks.hpp"

namespace ipmasq::nat {

namespace {

std::string destinations(const PodSubnet& subnet) {
  std::string text;
  for (const auto& [prefix, verdict, origin] : subnet.destinations) {
    text += net::to_text(prefix) + (verdict == Verdict::keep ? " keep " : " masquerade ") + origin + "\n";
  }
  return text;
}

std::string order(const Ruleset& ruleset) {
  std::string text;
  for (const auto& subnet : ruleset.pod_subnets)
    text += net::to_text(subnet.prefix) + " " + subnet.network + "\n";
  return text;
}

}  // namespace

TEST_CASE("destinations stand longest prefix first, each with the key that lists it") {
  auto network =
      test::network("cbr0", R"("nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.1.2.0/24"])",
                    {"10.244.1.0/24"});
  network.cluster_networks = {test::prefix("10.244.0.0/16"), test::prefix("fd00::/48")};
  CHECK(destinations(wanted_ruleset({network}).pod_subnets.front()) ==
        "10.1.2.0/24 masquerade masqueradeCIDRs\n"
        "10.244.0.0/16 keep flannel's network, /run/flannel/subnet.env\n"
        "169.254.0.0/16 keep masqLinkLocal\n"
        "10.0.0.0/8 keep nonMasqueradeCIDRs\n"
        "224.0.0.0/4 keep multicast, always\n");
}

TEST_CASE("a pod subnet that nothing keeps is kept for itself") {
  const auto network = test::network(
      "cbr0", R"("nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.2.0.0/16"])", {"10.2.3.0/24"});
  CHECK(destinations(wanted_ruleset({network}).pod_subnets.front()) ==
        "10.2.3.0/24 keep the pod subnet itself, always\n"
        "10.2.0.0/16 masquerade masqueradeCIDRs\n"
        "169.254.0.0/16 keep masqLinkLocal\n"
        "10.0.0.0/8 keep nonMasqueradeCIDRs\n"
        "224.0.0.0/4 keep multicast, always\n");
}

TEST_CASE("link-local is masqueraded where the key says so, unless a list names it") {
  const auto masqueraded =
      test::network("n", R"("nonMasqueradeCIDRs": [], "masqLinkLocal": true)", {"10.1.0.0/16"});
  CHECK(destinations(wanted_ruleset({masqueraded}).pod_subnets.front()) ==
        "10.1.0.0/16 keep the pod subnet itself, always\n"
        "169.254.0.0/16 masquerade masqLinkLocal\n"
        "224.0.0.0/4 keep multicast, always\n");
  const auto listed =
      test::network("n", R"("nonMasqueradeCIDRs": ["fe80::/10"], "masqLinkLocalIPv6": true)", {"fd00::/64"});
  CHECK(destinations(wanted_ruleset({listed}).pod_subnets.front()) ==
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

TEST_CASE("a network whose attachments are not all known is told apart") {
  auto unknown = test::network("a", "", {"10.1.0.0/16"});
  unknown.is_known = false;
  const auto ruleset = wanted_ruleset({unknown, test::network("b", "", {})});
  CHECK(ruleset.known_networks == std::set<std::string>{"b"});
  CHECK(order(ruleset) == "10.1.0.0/16 a\n");
}

}  // namespace ipmasq::nat
