#include "nat/nftables_stand_in.hpp"

#include <doctest/doctest.h>

#include <random>

#include "nat/nftables_drops.hpp"
#include "networks.hpp"
#include "nftables_memory_table.hpp"

namespace ipmasq::nat::nftables {

namespace {

using Kernel = test::NftablesTable;

const std::vector<std::string> hosts{"10.9.9.1/32", "10.9.9.2/32", "fd01::1/128", "fd01::2/128"};

Network network_with(const char* name, std::vector<std::string> sources) {
  return test::network(name, R"("masqueradeCIDRs": ["10.1.2.0/24"])", sources);
}

Kernel two_networks() {
  Kernel kernel;
  kernel.apply(
      wanted_ruleset({network_with("a", {"10.244.1.0/24", "10.9.9.1/32", "10.9.9.2/32", "fd01::1/128"}),
                      network_with("b", {"10.9.9.2/32", "10.9.9.3/32", "fd01::2/128", "fd00::/64"})}));
  return kernel;
}

// What is read of a table where these are asked for.
ObservedTable read(ObservedTable table, const std::set<net::Address>& addresses) {
  for (auto& [name, each] : table.sets) {
    if (has_ranges(each.set.kind)) continue;
    each.has_more = std::erase_if(each.set.elements, [&addresses](const auto& element) {
                      return !addresses.contains(element.range.first);
                    }) != 0;
  }
  add_stand_ins(table);
  return table;
}

std::vector<Edit> edits_of(const ObservedTable& table, const Ruleset& ruleset) {
  return difference(table, target(table, ruleset));
}

// That a call is about which knows of one source of network `name`.
Ruleset about(const char* name, const std::string& source, bool goes) {
  auto ruleset =
      wanted_ruleset({network_with(name, goes ? std::vector<std::string>{} : std::vector{source})});
  ruleset.has_all_sources = false;
  if (goes) ruleset.gone = {{test::prefix(source), name}};
  return ruleset;
}

}  // namespace

TEST_CASE("a pod that comes or goes changes its own elements, whatever others there are") {
  const auto all = two_networks();
  const auto comes = about("a", "10.9.9.7/32", false);
  const auto chain = chain_name("a", net::Family::ipv4);
  const auto address = test::prefix("10.9.9.7/32").address;
  const auto edits = edits_of(read(all.table, {address}), comes);
  CHECK(test::lines(to_text(edits)) == "missing: set " + self_set(chain) + ": 10.9.9.7 . 10.9.9.7\n" +
                                           "missing: set invalid-pods: 10.9.9.7 : goto " +
                                           drop_chain_name("a", net::Family::ipv4) + "\n" +
                                           "missing: set pods: 10.9.9.7 : goto " + chain + "\n");
  CHECK(are_about(edits, addresses_of(comes)));

  auto kernel = all;
  kernel.carry_out(edits);
  CHECK(edits_of(read(kernel.table, {address}), comes).empty());
  kernel.carry_out(difference(kernel.table, taken_back(kernel.table, edits)));
  CHECK(kernel.text() == all.text());

  kernel.carry_out(edits);
  const auto goes = edits_of(read(kernel.table, {address}), about("a", "10.9.9.7/32", true));
  CHECK(are_about(goes, {address}));
  auto without = kernel;
  without.carry_out(goes);
  CHECK(without.text() == all.text());
  without.carry_out(difference(without.table, taken_back(without.table, goes)));
  CHECK(without.text() == kernel.text());
}

TEST_CASE("who is met first by an address is seen without reading what there is of others") {
  auto table = two_networks().table;
  const auto elsewhere = test::prefix("10.9.9.7/32").address;
  auto& elements = table.sets.at("pods").set.elements;
  elements.push_back({{elsewhere, elsewhere}, "(another verdict)"});
  std::ranges::sort(elements);
  const auto met = [&table](const char* text) {
    const auto pod = test::prefix(text).address;
    std::string all;
    for (const auto& each : met_by(read(table, {pod}), pod))
      all += net::to_text(each.prefix) + " " + each.network + ";";
    std::string whole;
    for (const auto& each : met_by(table, pod)) whole += net::to_text(each.prefix) + " " + each.network + ";";
    CHECK(all == whole);
    return all;
  };
  CHECK(met("10.9.9.1/32") == "10.9.9.1/32 a;");
  CHECK(met("10.9.9.2/32") == "10.9.9.2/32 a;");
  CHECK(met("10.9.9.3/32") == "10.9.9.3/32 b;");
  CHECK(met("10.9.9.7/32") == "10.9.9.7/32 ;");
  CHECK(met("10.244.1.7/32") == "10.244.1.0/24 a;");
  CHECK(met("fd01::2/128") == "fd01::2/128 b;");
  CHECK(met("fd00::7/128") == "fd00::/64 b;");
  CHECK(met("10.9.9.8/32").empty());
  table.sets.at("pods").trouble = "has elements of another kind";
  CHECK(met("10.9.9.8/32") == "10.9.9.8/32 ;");
}

TEST_CASE(
    "where a part of the table is not all there is to read, the edits are those of the whole or known to be "
    "wrong") {
  std::mt19937 random(3);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same damage each time
  const auto below = [&random](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
  };
  int few = 0;
  constexpr int rounds = 2000;
  for (int round = 0; round < rounds; ++round) {
    const auto& host = hosts.at(below(hosts.size()));
    const auto wanted = about(below(2) == 0 ? "a" : "b", host, below(2) == 0);
    const auto addresses = addresses_of(wanted);
    auto kernel = two_networks();
    auto& table = kernel.table;
    if (below(3) == 0)
      std::next(table.chains.begin(), static_cast<std::ptrdiff_t>(below(table.chains.size())))
          ->second.rules.clear();
    auto& damaged =
        std::next(table.sets.begin(), static_cast<std::ptrdiff_t>(below(table.sets.size())))->second.set;
    std::erase_if(damaged.elements, [&](const auto& element) {
      return has_ranges(damaged.kind) || addresses.contains(element.range.first);
    });
    const auto edits = edits_of(read(table, addresses), wanted);
    if (!are_about(edits, addresses)) continue;
    ++few;
    REQUIRE(edits == edits_of(table, wanted));
  }
  CHECK(few > rounds / 10);
}

}  // namespace ipmasq::nat::nftables
