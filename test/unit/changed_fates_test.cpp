#include "nat/changed_fates.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>

#include "networks.hpp"

namespace ipmasq::nat {

namespace {

Ruleset ruleset(const std::string& keys) {
  return wanted_ruleset({test::network("a", keys, {"10.244.1.0/24", "fd00:244::/64"}),
                         test::network("b", "", {"10.244.1.77/32"})});
}

ChangedFates between(const std::string& before, const std::string& now) {
  return {ruleset(before), ruleset(now), "a"};
}

// What a connection is given.
const Given not_known = [](const auto&, const auto&) { return std::nullopt; };

bool has_changed(const ChangedFates& fates, const char* destination, const char* seen) {
  return fates.has_changed({test::address("10.244.1.5"), test::address(destination), test::address(seen)},
                           not_known);
}

constexpr auto node = "198.18.0.1";
constexpr auto pod = "10.244.1.5";

}  // namespace

TEST_CASE("a connection has changed where the lists say something else of it and it has not what they say") {
  const auto fates =
      between(R"("nonMasqueradeCIDRs": ["10.0.0.0/8"])", R"("nonMasqueradeCIDRs": ["203.0.113.0/24"])");
  CHECK(fates.is_any());
  CHECK(has_changed(fates, "10.9.9.9", pod));
  CHECK_FALSE(has_changed(fates, "10.9.9.9", node));
  CHECK(has_changed(fates, "203.0.113.9", node));
  CHECK_FALSE(has_changed(fates, "203.0.113.9", pod));
  CHECK_FALSE(has_changed(fates, "8.8.8.8", node));
  // Somebody else's doing: the lists said the same before.
  CHECK_FALSE(has_changed(fates, "8.8.8.8", pod));
  CHECK_FALSE(has_changed(fates, "10.244.1.9", node));
}

TEST_CASE("what is left to others has what they gave it, for all that is known") {
  const auto fates = between(R"("catchAll": true)", R"("catchAll": false)");
  CHECK_FALSE(has_changed(fates, "8.8.8.8", node));
  CHECK_FALSE(has_changed(fates, "8.8.8.8", pod));
  CHECK_FALSE(has_changed(fates, "10.9.9.9", pod));
}

TEST_CASE("the network's pods are those for which its chain decides") {
  const auto fates = between("", R"("nonMasqueradeCIDRs": [])");
  CHECK(fates.holds(test::address(pod)));
  CHECK_FALSE(fates.holds(test::address("10.244.1.77")));
  CHECK_FALSE(fates.holds(test::address("10.244.2.5")));
  CHECK(fates.holds(test::address("fd00:244::5")));
}

TEST_CASE("what the lists do not tell of a source changes nothing") {
  for (const auto* const keys : {"", R"("dropInvalid": false)", R"("randomFully": false)",
                                 R"("toPorts": "1024-2047")", R"("exemption": "return")"})
    CHECK_FALSE(between("", keys).is_any());
}

TEST_CASE("another source to translate to") {
  const auto one = R"("snatTo": ["203.0.113.7"])";
  const auto two = R"("snatTo": ["203.0.113.7-203.0.113.8"])";
  const auto by_way = R"("snatTo": [{"address": "203.0.113.9", "interface": "eth1"}])";
  CHECK(has_changed(between("", one), "8.8.8.8", node));
  CHECK_FALSE(has_changed(between("", one), "8.8.8.8", "203.0.113.7"));
  CHECK_FALSE(has_changed(between(one, two), "8.8.8.8", "203.0.113.7"));
  CHECK(has_changed(between(two, one), "8.8.8.8", "203.0.113.8"));
  CHECK(has_changed(between(one, ""), "8.8.8.8", "203.0.113.7"));
  CHECK_FALSE(has_changed(between(one, ""), "8.8.8.8", node));
  // By eth1, or by another way, which nobody tells.
  CHECK_FALSE(has_changed(between("", by_way), "8.8.8.8", node));
  CHECK_FALSE(has_changed(between("", by_way), "8.8.8.8", "203.0.113.9"));
  CHECK(has_changed(between(one, by_way), "8.8.8.8", "203.0.113.7"));
}

TEST_CASE("where it is known what a connection is given, that decides") {
  const auto given = [](const char* address) {
    return [address](const auto&, const auto&) {
      return std::optional(net::Range{test::address(address), test::address(address)});
    };
  };
  const auto one = R"("snatTo": ["198.18.0.1"])";
  const auto by_way = R"("snatTo": [{"address": "203.0.113.9", "interface": "eth1"}])";
  const auto is_ended = [&given](const ChangedFates& fates, const char* seen, const char* its) {
    return fates.has_changed({test::address(pod), test::address("8.8.8.8"), test::address(seen)}, given(its));
  };
  CHECK_FALSE(is_ended(between(one, ""), node, node));  // the interface's own, by another key
  CHECK(is_ended(between(R"("catchAll": false)", ""), "198.18.0.77", node));
  CHECK(is_ended(between(R"("snatTo": ["203.0.113.9"])", by_way), "203.0.113.9", node));
  CHECK_FALSE(is_ended(between("", R"("cidrLimit": 65)"), "198.18.0.77", node));  // it says the same
}

TEST_CASE("a pod that has another policy now") {
  const auto with_policy = [](const std::string& policy) {
    auto network =
        test::network("a", R"("policies": [{"name": "one", "namespaces": ["x"], "nonMasqueradeCIDRs": []}])",
                      {"10.244.1.0/24", "10.244.1.5/32"});
    network.policies = {{test::prefix("10.244.1.5/32"), policy}};
    return wanted_ruleset({network});
  };
  const ChangedFates fates(with_policy(""), with_policy("one"), "a");
  CHECK(fates.is_any());
  CHECK(has_changed(fates, "10.9.9.9", pod));
  CHECK_FALSE(has_changed(fates, "8.8.8.8", node));
  CHECK_FALSE(fates.has_changed(
      {test::address("10.244.1.6"), test::address("10.9.9.9"), test::address("10.244.1.6")}, not_known));
}

TEST_CASE("it says what explain says of both, over random lists") {
  std::mt19937 random(20261127);  // NOLINT: the same ones each time
  const auto prefix = [&random] {
    const auto length = 8 + random() % 25;
    const auto text = "10." + std::to_string(random() % 3) + "." + std::to_string(random() % 3) + "." +
                      std::to_string(random() % 256) + "/" + std::to_string(length);
    return net::to_text(net::parse_interface_address(text)->network());
  };
  const auto keys = [&] {
    std::string kept;
    for (int index = 0; index < 6; ++index) kept += (kept.empty() ? "\"" : ", \"") + prefix() + "\"";
    return R"("nonMasqueradeCIDRs": [)" + kept + R"(], "catchAll": )" +
           (random() % 3 == 0 ? "false" : "true");
  };
  for (int round = 0; round < 200; ++round) {
    const auto before = ruleset(keys());
    const auto now = ruleset(keys());
    const ChangedFates fates(before, now, "a");
    for (int each = 0; each < 50; ++each) {
      const auto destination = net::parse_interface_address(prefix())->address;
      const auto source = test::address(pod);
      const auto fate = explain(now, source, destination).fate;
      const bool is_other = explain(before, source, destination).fate != fate;
      for (const auto& seen : {source, test::address(node)}) {
        const bool is_right =
            fate == Fate::left_alone || (fate == Fate::kept ? seen == source : seen != source);
        CAPTURE(net::to_text(destination));
        CHECK(fates.has_changed({source, destination, seen}, not_known) == (is_other && !is_right));
      }
    }
  }
}

}  // namespace ipmasq::nat
