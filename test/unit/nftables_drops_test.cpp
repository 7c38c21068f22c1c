#include "nat/nftables_drops.hpp"

#include <doctest/doctest.h>

#include "nat/nftables_difference.hpp"
#include "nat/nftables_target.hpp"
#include "networks.hpp"
#include "nftables_memory_table.hpp"

namespace ipmasq::nat::nftables {

namespace {

using Kernel = test::NftablesTable;

constexpr auto off = R"("dropInvalid": false)";

// The rules of a network's chain of IPv4, a line each; empty where there is no such chain.
std::string dropped(const Kernel& kernel, const char* network) {
  const auto chain = kernel.table.chains.find(drop_chain_name(network, net::Family::ipv4));
  std::string text;
  if (chain == kernel.table.chains.end()) return text;
  for (const auto& each : chain->second.rules) text += to_text(each.rule) + "\n";
  return text;
}

// Where iptables translates: what is told of the sources that stand there is `sources`.
void apply_beside(Kernel& kernel, const Ruleset& ruleset, const std::vector<Source>& sources) {
  kernel.carry_out(difference(kernel.table, target_of_drops(kernel.table, ruleset, sources)));
}

Kernel beside(const std::vector<Network>& networks) {
  Kernel kernel;
  const auto ruleset = wanted_ruleset(networks);
  apply_beside(kernel, ruleset, ruleset.sources);
  return kernel;
}

// As it stood before this key was.
Kernel of_earlier(const std::vector<Network>& networks) {
  Kernel kernel;
  auto ruleset = wanted_ruleset(networks);
  for (auto& chain : ruleset.chains) chain.drops_invalid = false;
  kernel.apply(ruleset);
  return kernel;
}

}  // namespace

TEST_CASE("what is dropped is what would be masqueraded") {
  const auto rules = [](const char* keys) {
    return dropped(beside({test::network("n", keys, {"10.244.1.0/24"})}), "n");
  };
  const auto kept = "ip daddr @" + kept_set(chain_name("n", net::Family::ipv4)) + " counter return\n";
  CHECK(rules("") == kept + "counter drop\n");
  CHECK(rules(R"("exemption": "return", "snatTo": ["203.0.113.7"])") == kept + "counter drop\n");
  CHECK(rules(R"("catchAll": false, "masqueradeCIDRs": ["10.1.2.0/24"])") ==
        "ip daddr @" + masqueraded_set(chain_name("n", net::Family::ipv4)) + " counter drop\n");
  CHECK(rules(R"("catchAll": false)").empty());
  CHECK(rules(off).empty());
}

TEST_CASE(
    "nothing stands where no network drops anything, and one that drops none lets pass where another does") {
  CHECK_FALSE(beside({test::network("n", off, {"10.244.1.0/24"})}).table.exists);
  const auto kernel =
      beside({test::network("n", off, {"10.244.1.0/24"}), test::network("wide", "", {"10.0.0.0/8"})});
  CHECK(dropped(kernel, "n") == "counter return\n");
  CHECK(dropped(kernel, "wide").ends_with("counter drop\n"));
  CHECK(has_drops_alone(kernel.table));
}

TEST_CASE("a network that comes to drop packets drops none of another's, of which none are dropped") {
  const auto n = test::network("n", off, {"10.244.1.0/24", "10.9.9.1/32", "fd00:1::/64"});
  const auto wide = test::network("wide", "", {"10.0.0.0/8", "fd00::/16"});
  const auto both = wanted_ruleset({n, wide});
  const auto alone = [](const Network& network) {
    auto ruleset = wanted_ruleset({network});
    ruleset.has_all_sources = false;
    return ruleset;
  };
  SUBCASE("beside iptables") {
    auto kernel = beside({n});
    apply_beside(kernel, alone(wide), both.sources);
    CHECK(kernel.text() == beside({n, wide}).text());
    apply_beside(kernel, {.networks = {"wide"}, .gone = {both.sources.begin(), both.sources.end()}},
                 wanted_ruleset({n}).sources);
    CHECK_FALSE(kernel.table.exists);
  }
  SUBCASE("in nftables") {
    Kernel kernel;
    kernel.apply(alone(n));
    const auto before = kernel.text();
    kernel.apply(alone(wide));
    Kernel wanted;
    wanted.apply(both);
    CHECK(kernel.text() == wanted.text());
    kernel.apply({.networks = {"wide"},
                  .gone = {{test::prefix("10.0.0.0/8"), "wide"}, {test::prefix("fd00::/16"), "wide"}}});
    CHECK(kernel.text() == before);
  }
}

TEST_CASE("the chains' names tell whose they are, and are nobody's that translates") {
  for (const auto* const network : {"cbr0", "7th", "a-invalid", "a-6", "x-0123456789ab-invalid"}) {
    CAPTURE(network);
    for (const auto family : {net::Family::ipv4, net::Family::ipv6}) {
      const auto name = drop_chain_name(network, family);
      CHECK(whose_drop_chain(name) == std::pair(Owner{network}, family));
      CHECK_FALSE(network_of_chain(name));
      CHECK_FALSE(whose_drop_chain(chain_name(network, family)));
    }
  }
  for (const auto* const other : {"", "-invalid", "forward", "cbr0-invalid", "cbr0-67a95ac47c50-invalid"}) {
    CAPTURE(other);
    CHECK_FALSE(whose_drop_chain(other));
  }
}

TEST_CASE(
    "beside the rules of an earlier version it comes by additions alone, and goes with the last source") {
  const auto network = test::network("n", "", {"10.244.1.0/24", "10.9.9.1/32", "fd00::/64"});
  auto kernel = of_earlier({network});
  const auto before = kernel.text();
  const auto ruleset = wanted_ruleset({network});
  const auto edits = difference(kernel.table, target(kernel.table, ruleset));
  for (const auto& edit : edits) {
    const bool adds = std::holds_alternative<AddChain>(edit) || std::holds_alternative<AddSet>(edit) ||
                      std::holds_alternative<AddElements>(edit) || std::holds_alternative<InsertRule>(edit);
    CHECK(adds);
  }
  kernel.carry_out(edits);
  CHECK(dropped(kernel, "n").ends_with("counter drop\n"));
  kernel.apply(wanted_ruleset({test::network("n", off, {"10.244.1.0/24", "10.9.9.1/32", "fd00::/64"})}));
  CHECK(kernel.text() == before);
  kernel.apply(ruleset);
  kernel.apply(wanted_ruleset({test::network("n", "", {})}));
  CHECK_FALSE(kernel.table.exists);
}

TEST_CASE("a move to the other back end takes what translates along and leaves what drops") {
  const auto network = test::network("n", "", {"10.244.1.0/24"});
  const auto ruleset = wanted_ruleset({network});
  Kernel kernel;
  kernel.apply(ruleset);
  apply_beside(kernel, ruleset, ruleset.sources);
  const auto drops = dropped(kernel, "n");
  kernel.apply({.networks = {"n"}, .elsewhere = {"n"}});
  CHECK(has_drops_alone(kernel.table));
  CHECK(dropped(kernel, "n") == drops);
  CHECK(kernel.text() == beside({network}).text());
  apply_beside(kernel, {.networks = {"n"}, .gone = {{test::prefix("10.244.1.0/24"), "n"}}}, {});
  CHECK_FALSE(kernel.table.exists);
}

TEST_CASE("what somebody damaged of another network's is nobody else's to tell of") {
  const auto b = test::network("b", "", {"10.3.0.0/24"});
  const auto all = wanted_ruleset({test::network("n", "", {"10.244.1.0/24"}), b});
  auto wanted = wanted_ruleset({test::network("n", "", {"10.244.1.0/24"})});
  wanted.has_all_sources = false;
  const auto flush = [](Kernel& kernel) {
    for (auto& [name, chain] : kernel.table.chains) {
      if (name.starts_with("b-")) chain.rules.clear();
    }
  };
  SUBCASE("beside iptables") {
    auto kernel = beside({test::network("n", "", {"10.244.1.0/24"}), b});
    flush(kernel);
    CHECK(difference(kernel.table, target_of_drops(kernel.table, wanted, all.sources)).empty());
  }
  SUBCASE("in nftables") {
    Kernel kernel;
    kernel.apply(all);
    flush(kernel);
    CHECK(difference(kernel.table, target(kernel.table, wanted)).empty());
  }
}

TEST_CASE("what somebody damaged of it is put right, from either back end") {
  const auto network = test::network("n", "", {"10.244.1.0/24", "10.9.9.1/32", "fd00::/64"});
  const auto ruleset = wanted_ruleset({network});
  const auto right = beside({network});
  for (const auto& each : right.table.chains) {
    const auto& name = each.first;
    CAPTURE(name);
    for (std::size_t number = 0; number < each.second.rules.size(); ++number) {
      CAPTURE(number);
      auto kernel = right;
      auto& rules = kernel.table.chains.at(name).rules;
      rules.erase(rules.begin() + static_cast<std::ptrdiff_t>(number));
      apply_beside(kernel, ruleset, ruleset.sources);
      CHECK(kernel.text() == right.text());
    }
  }
  for (const auto& each : right.table.sets) {
    const auto& name = each.first;
    CAPTURE(name);
    auto kernel = right;
    kernel.table.sets.at(name).set.elements.clear();
    apply_beside(kernel, ruleset, ruleset.sources);
    CHECK(kernel.text() == right.text());
  }
}

}  // namespace ipmasq::nat::nftables
