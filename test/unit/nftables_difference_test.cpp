#include "nat/nftables_difference.hpp"

#include <doctest/doctest.h>

#include <random>

#include "networks.hpp"

namespace ipmasq::nat::nftables {

namespace {

// Our table as the kernel would hold it: carries edits out, and refuses what the kernel refuses.
class Kernel {
 public:
  void carry_out(const std::vector<Edit>& edits) {
    for (const auto& edit : edits) std::visit([this](const auto& each) { carry_out(each); }, edit);
  }

  std::string text() const {
    std::string all;
    for (const auto& [name, chain] : table.chains) {
      all += "chain " + name + (chain.is_base ? " (base)\n" : "\n");
      for (const auto& each : chain.rules) all += "  " + to_text(each.rule) + "\n";
    }
    for (const auto& [name, observed] : table.sets) {
      all += "set " + name + "\n";
      for (const auto& element : observed.set.elements) all += "  " + to_text(element) + "\n";
    }
    return all;
  }

  ObservedTable table;

 private:
  void carry_out(const AddTable& /*edit*/) {
    REQUIRE_FALSE(table.exists);
    table.exists = true;
  }
  void carry_out(const DeleteTable& /*edit*/) {
    REQUIRE(table.exists);
    table = {};
  }
  void carry_out(const AddChain& edit) {
    REQUIRE(table.chains.try_emplace(edit.chain, ObservedChain{edit.is_base}).second);
  }
  void carry_out(const DeleteChain& edit) {
    REQUIRE(table.chains.at(edit.chain).rules.empty());
    for (const auto& [name, observed] : table.sets) {
      for (const auto& element : observed.set.elements) REQUIRE(element.value != edit.chain);
    }
    table.chains.erase(edit.chain);
  }
  void carry_out(const AddSet& edit) {
    REQUIRE(table.sets.try_emplace(edit.set, ObservedSet{{edit.family, edit.is_map}}).second);
  }
  void carry_out(const DeleteSet& edit) {
    for (const auto& [name, chain] : table.chains) {
      for (const auto& each : chain.rules) {
        const auto* const dispatch = std::get_if<Dispatch>(&each.rule.statement);
        REQUIRE((!each.rule.destination_in || each.rule.destination_in->set != edit.set));
        REQUIRE((dispatch == nullptr || dispatch->map != edit.set));
      }
    }
    REQUIRE(table.sets.erase(edit.set) == 1);
  }
  void carry_out(const AddElements& edit) {
    auto& elements = table.sets.at(edit.set).set.elements;
    for (const auto& element : edit.elements) {
      for (const auto& other : elements) {
        REQUIRE((element.range.last < other.range.first || other.range.last < element.range.first));
      }
      REQUIRE((element.value.empty() || table.chains.contains(element.value)));
      elements.push_back(element);
    }
    std::ranges::sort(elements, {}, &Interval<std::string>::range);
  }
  void carry_out(const DeleteElements& edit) {
    for (const auto& element : edit.elements)
      REQUIRE(std::erase(table.sets.at(edit.set).set.elements, element) == 1);
  }
  void carry_out(const InsertRule& edit) {
    auto& rules = table.chains.at(edit.chain).rules;
    const auto place =
        edit.before ? std::ranges::find(rules, *edit.before, &ObservedRule::handle) : rules.end();
    REQUIRE((place != rules.end() || !edit.before));
    rules.insert(place, {edit.rule, ++handles_});
  }
  void carry_out(const DeleteRule& edit) {
    const auto gone = [&edit](const ObservedRule& each) {
      return each.handle == edit.handle && each.rule == edit.rule;
    };
    REQUIRE(std::erase_if(table.chains.at(edit.chain).rules, gone) == 1);
  }

  std::uint64_t handles_ = 0;
};

Ruleset two_networks() {
  return wanted_ruleset(
      {test::network("a", R"("masqueradeCIDRs": ["10.1.2.0/24"])", {"10.244.1.0/24", "10.244.2.0/24"}),
       test::network("b", "", {"10.0.0.0/8", "fd00::/64"})});
}

Kernel right_kernel() {
  Kernel kernel;
  kernel.carry_out(difference(kernel.table, two_networks()));
  return kernel;
}

}  // namespace

TEST_CASE("from nothing to the wanted table, and back") {
  auto kernel = right_kernel();
  const auto wanted = two_networks();
  CHECK(difference(kernel.table, wanted).empty());
  CHECK(kernel.table.chains.size() == 5);
  CHECK(kernel.table.sets.size() == 6);
  auto nothing = wanted;
  nothing.pod_subnets.clear();
  const auto edits = difference(kernel.table, nothing);
  CHECK(edits == std::vector<Edit>{DeleteTable{}});
  kernel.carry_out(edits);
  CHECK(difference(kernel.table, nothing).empty());
}

TEST_CASE("whatever happened to our table is put right") {
  const auto right = right_kernel().text();
  std::mt19937 random(2);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same damage each time
  const auto below = [&random](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
  };
  for (int round = 0; round < 2000; ++round) {
    auto kernel = right_kernel();
    auto& table = kernel.table;
    for (std::size_t blows = 1 + below(4); blows > 0; --blows) {
      auto chain = std::next(table.chains.begin(), static_cast<std::ptrdiff_t>(below(table.chains.size())));
      auto set = std::next(table.sets.begin(), static_cast<std::ptrdiff_t>(below(table.sets.size())));
      auto& rules = chain->second.rules;
      auto& elements = set->second.set.elements;
      if (rules.empty() || elements.empty()) continue;
      const auto rule = rules.begin() + static_cast<std::ptrdiff_t>(below(rules.size()));
      const auto element = elements.begin() + static_cast<std::ptrdiff_t>(below(elements.size()));
      switch (below(9)) {
        case 0:
          rules.erase(rule);
          break;
        case 1:
          rules.insert(rule, {rule->rule, 1000 + below(1000000)});
          break;
        case 2:
          rule->rule.other = " (changed)";
          break;
        case 3:
          std::swap(*rule, rules.front());
          break;
        case 4:
          rules.clear();
          break;
        case 5:
          elements.erase(element);
          break;
        case 6:
          element->range.last = element->range.first;
          break;
        case 7:
          table.trouble = "is dormant";
          break;
        default:
          chain->second.trouble = "has another policy";
      }
    }
    kernel.carry_out(difference(table, two_networks()));
    REQUIRE(kernel.text() == right);
  }
}

TEST_CASE("a change of the list leaves all rules, and so their counters, alone") {
  const auto kernel = right_kernel();
  const auto wanted = wanted_ruleset(
      {test::network("a", R"("masqueradeCIDRs": ["10.1.3.0/24"])", {"10.244.1.0/24", "10.244.2.0/24"}),
       test::network("b", "", {"10.0.0.0/8", "fd00::/64"})});
  const auto edits = difference(kernel.table, wanted);
  const auto text = test::lines(to_text(edits));
  const auto set = [](const char* subnet) {
    return "set " + kept_set(chain_name("a", test::prefix(subnet))) + ": ";
  };
  for (const auto* const subnet : {"10.244.1.0/24", "10.244.2.0/24"}) {
    CHECK(text.find("missing: " + set(subnet) + "10.0.0.0-10.1.2.255\n") != std::string::npos);
    CHECK(text.find("not wanted: " + set(subnet) + "10.0.0.0-10.1.1.255\n") != std::string::npos);
  }
  CHECK(std::ranges::none_of(edits, [](const Edit& edit) {
    return std::holds_alternative<InsertRule>(edit) || std::holds_alternative<DeleteRule>(edit);
  }));
}

TEST_CASE("what belongs to a network that is not known stays") {
  auto kernel = right_kernel();
  const auto before = kernel.text();
  CHECK(difference(kernel.table, wanted_ruleset({test::network("b", "", {"10.0.0.0/8", "fd00::/64"})}))
            .empty());

  kernel.carry_out(difference(kernel.table, wanted_ruleset({test::network("b", "", {})})));
  const auto only_a = wanted_ruleset(
      {test::network("a", R"("masqueradeCIDRs": ["10.1.2.0/24"])", {"10.244.1.0/24", "10.244.2.0/24"})});
  Kernel expected;
  expected.carry_out(difference(expected.table, only_a));
  CHECK(kernel.text() == expected.text());
  CHECK(kernel.text() != before);
}

TEST_CASE("damage that no edit mends is named, and the table made anew") {
  auto kernel = right_kernel();
  const auto right = kernel.text();
  kernel.table.chains.at("postrouting").trouble = "has another priority";
  const auto edits = difference(kernel.table, two_networks());
  CHECK(test::lines(to_text(edits)) ==
        "damaged: table inet ip-masq: chain postrouting has another priority\n");
  kernel.carry_out(edits);
  CHECK(kernel.text() == right);
}

}  // namespace ipmasq::nat::nftables
