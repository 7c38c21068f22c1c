#include "nat/nftables_standing.hpp"

#include <doctest/doctest.h>

#include "nat/nftables_target.hpp"
#include "networks.hpp"

namespace ipmasq::nat::nftables {

namespace {

ObservedTable observed(const Table& table) {
  ObservedTable observed{.exists = true};
  for (const auto& [name, chain] : table.chains) {
    auto& there = observed.chains[name];
    there.is_base = chain.is_base;
    for (const auto& rule : chain.rules) there.rules.push_back({rule});
  }
  for (const auto& [name, set] : table.sets) observed.sets[name].set = set;
  return observed;
}

ObservedTable observed(const std::string& keys) {
  return observed(
      target({}, wanted_ruleset({test::network("n", keys, {"10.244.1.0/24", "10.9.9.9/32", "fd00::/64"})})));
}

std::string text(const ObservedTable& table, const char* source, const char* destination) {
  const auto found = standing(table, test::address(source), test::address(destination));
  if (!found) return "not asked";
  const auto* const fate = found->fate == Fate::kept          ? "kept"
                           : found->fate == Fate::masqueraded ? "masqueraded"
                                                              : "left alone";
  return (found->is_certain ? fate : "perhaps") + (" by " + found->rule);
}

const std::string chain = chain_name("n", net::Family::ipv4);  // NOLINT(cert-err58-cpp)
const std::string kept = "kept by " + chain + ": ip daddr @" + chain + "-kept counter snat ip to ip saddr";
const std::string masqueraded = "masqueraded by " + chain + ": counter masquerade fully-random";

std::vector<ObservedRule>& rules_in(ObservedTable& table, const std::string& name = chain) {
  return table.chains.at(name).rules;
}

}  // namespace

TEST_CASE("rules that are right do what the lists say") {
  const auto table = observed("");
  CHECK(text(table, "10.244.1.5", "10.1.2.3") == kept);
  CHECK(text(table, "10.244.1.5", "10.244.1.6") == kept);
  CHECK(text(table, "10.9.9.9", "192.168.0.1") == kept);
  CHECK(text(table, "10.9.9.9", "8.8.8.8") == masqueraded);
  CHECK(text(table, "fd00::5", "2001:db8::1") ==
        "masqueraded by " + chain + "-6: counter masquerade fully-random");
  CHECK(text(table, "fd00::5", "fd01::1") ==
        "kept by " + chain + "-6: ip6 daddr @" + chain + "-6-kept counter snat ip6 to ip6 saddr");
  CHECK(text(table, "10.244.2.5", "10.1.2.3") == "not asked");
  CHECK(text(table, "fd00:1::5", "fd01::1") == "not asked");
  CHECK(text({}, "10.244.1.5", "10.1.2.3") == "not asked");
}

TEST_CASE("what the keys leave to others is left alone") {
  CHECK(text(observed(R"("exemption": "return")"), "10.244.1.5", "10.1.2.3") ==
        "left alone by " + chain + ": ip daddr @" + chain + "-kept counter return");
  const auto table =
      observed(R"("catchAll": false, "masqueradeCIDRs": ["10.1.2.0/24"], "snatTo": ["203.0.113.7"])");
  CHECK(text(table, "10.244.1.5", "8.8.8.8") == "left alone by ");
  CHECK(text(table, "10.244.1.5", "10.1.2.3") ==
        "masqueraded by " + chain + ": ip daddr @" + chain +
            "-masqueraded counter snat ip to 203.0.113.7 fully-random");
}

TEST_CASE("rules for some protocols only do not decide where the rest comes to the same") {
  auto table = observed(R"("toPorts": "1000-1999,3000-3999")");
  CHECK(text(table, "10.244.1.5", "8.8.8.8") == masqueraded);
  rules_in(table).front().rule = {.protocol = Protocol::tcp, .statement = Return{}};
  CHECK(text(table, "10.244.1.5", "8.8.8.8") == "perhaps by " + chain + ": meta l4proto tcp counter return");
  CHECK(text(table, "10.244.1.5", "10.1.2.3") == "perhaps by " + chain + ": meta l4proto tcp counter return");
}

TEST_CASE("damage is seen as it is") {
  auto table = observed("");
  SUBCASE("a chain without rules") {
    rules_in(table).clear();
    CHECK(text(table, "10.244.1.5", "8.8.8.8") == "left alone by ");
  }
  SUBCASE("the exemption's rule is gone") {
    std::erase_if(rules_in(table), [](const auto& each) { return each.rule.destination_in.has_value(); });
    CHECK(text(table, "10.244.1.5", "10.1.2.3") == masqueraded);
  }
  SUBCASE("the exemption's set is empty") {
    table.sets.at(chain + "-kept").set.elements.clear();
    CHECK(text(table, "10.244.1.5", "10.1.2.3") == masqueraded);
  }
  SUBCASE("the map is empty") {
    table.sets.at("pod-subnets").set.elements.clear();
    CHECK(text(table, "10.244.1.5", "8.8.8.8") == "not asked");
    CHECK(text(table, "10.9.9.9", "8.8.8.8") == masqueraded);
  }
  SUBCASE("the map leads elsewhere") {
    table.sets.at("pod-subnets").set.elements.front().value = "(another verdict)";
    CHECK(text(table, "10.244.1.5", "8.8.8.8") ==
          "perhaps by postrouting: counter ip saddr vmap @pod-subnets");
  }
  SUBCASE("a rule that may do anything") {
    rules_in(table).front().rule.other = " (limit)";
    CHECK(text(table, "10.244.1.5", "10.1.2.3") == kept);  // it is about redirected packets
    rules_in(table).front().rule = {.other = " (limit)"};
    CHECK(text(table, "10.244.1.5", "10.1.2.3") == "perhaps by " + chain + ": counter (limit)");
  }
  SUBCASE("a rule before the maps that takes every packet") {
    rules_in(table, "postrouting").front().rule = {.statement = Return{}};
    CHECK(text(table, "10.244.1.5", "10.1.2.3") == "left alone by postrouting: counter return");
    CHECK(text(table, "10.7.7.7", "10.1.2.3") == "not asked");
  }
  SUBCASE("another priority") {
    table.chains.at("postrouting").trouble = "has another priority";
    CHECK(text(table, "10.244.1.5", "10.1.2.3") == "perhaps by postrouting has another priority");
  }
  SUBCASE("a dormant table") {
    table.is_dormant = true;
    CHECK(text(table, "10.244.1.5", "10.1.2.3") == "not asked");
  }
}

}  // namespace ipmasq::nat::nftables
