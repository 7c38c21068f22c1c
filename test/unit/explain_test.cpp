#include "nat/explain.hpp"

#include <doctest/doctest.h>

#include "networks.hpp"

namespace ipmasq::nat {

TEST_CASE("the longest prefix decides, and its key is named") {
  const auto ruleset = wanted_ruleset({
      test::network("a", R"("masqueradeCIDRs": ["10.1.2.0/24"])", {"10.244.1.0/24", "fd00::/64"}),
      test::network("b", R"("nonMasqueradeCIDRs": [], "catchAll": false)", {"10.244.0.0/16"}),
  });
  const auto told = [&ruleset](const char* source, const char* destination) {
    const auto explanation = explain(ruleset, test::address(source), test::address(destination));
    const auto* const fate = explanation.fate == Fate::kept          ? "kept"
                             : explanation.fate == Fate::masqueraded ? "masqueraded"
                                                                     : "left alone";
    return std::string(fate) + ", " + explanation.why +
           (explanation.destination ? ", " + net::to_text(*explanation.destination) : "") +
           (explanation.source ? ", " + explanation.source->network : "");
  };
  CHECK(told("10.244.1.5", "10.9.9.9") == "kept, nonMasqueradeCIDRs (default), 10.0.0.0/8, a");
  CHECK(told("10.244.1.5", "10.1.2.9") == "masqueraded, masqueradeCIDRs, 10.1.2.0/24, a");
  CHECK(told("10.244.1.5", "8.8.8.8") == "masqueraded, catchAll, a");
  CHECK(told("10.244.2.5", "8.8.8.8") == "left alone, catchAll, b");
  CHECK(told("fd00::5", "2001:db8::1") == "masqueraded, catchAll, a");
  CHECK(told("192.0.2.1", "8.8.8.8") == "left alone, no pod subnet of a recorded network holds 192.0.2.1");
}

TEST_CASE("a whole network is kept where an entry that keeps holds it and none within masquerades") {
  const auto chain =
      wanted_ruleset(
          {test::network("a", R"("nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.1.2.0/24"])",
                         {"10.244.1.0/24"})})
          .chains.front();
  CHECK(keeps_all(chain, test::prefix("10.244.0.0/16")));
  CHECK_FALSE(keeps_all(chain, test::prefix("10.1.0.0/16")));
  CHECK_FALSE(keeps_all(chain, test::prefix("10.1.2.128/25")));
  CHECK_FALSE(keeps_all(chain, test::prefix("8.0.0.0/8")));
}

TEST_CASE("what rules that stand masquerade as, by the way out") {
  const auto range = [](const std::string& text) {
    const auto address = test::address(text);
    return net::Range{address, address};
  };
  const auto first = range("203.0.113.7");
  const auto second = range("203.0.113.8");
  const Standing masquerade{.fate = Fate::masqueraded, .sources = {{}, {}}};
  CHECK(masquerade.gives({}, "eth0"));
  CHECK(masquerade.gives({}, {}));
  CHECK_FALSE(masquerade.gives(first, "eth0"));
  const Standing by_way{.fate = Fate::masqueraded, .sources = {{"eth1", second}, {{}, first}}};
  CHECK(by_way.gives(second, "eth1"));
  CHECK(by_way.gives(first, "eth0"));
  CHECK_FALSE(by_way.gives(first, "eth1"));
  CHECK_FALSE(by_way.gives(first, {}));
  const Standing half_changed{.fate = Fate::masqueraded, .sources = {{{}, first}, {{}, second}}};
  CHECK_FALSE(half_changed.gives(first, "eth0"));
  CHECK_FALSE(Standing{}.gives({}, "eth0"));
}

}  // namespace ipmasq::nat
