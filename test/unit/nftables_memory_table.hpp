// Our table of nftables without a kernel, for tests of the pure core.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "nat/nftables_difference.hpp"
#include "nat/nftables_target.hpp"

namespace ipmasq::test {

/// As the kernel would hold it: carries edits out, and refuses what the kernel refuses.
class NftablesTable {
 public:
  void apply(const nat::Ruleset& ruleset) { carry_out(difference(table, target(table, ruleset))); }

  void carry_out(const std::vector<nat::nftables::Edit>& edits) {
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
      for (const auto& element : observed.set.elements)
        all += "  " + to_text(element, observed.set.kind) + "\n";
    }
    return all;
  }

  nat::nftables::ObservedTable table;

 private:
  void carry_out(const nat::nftables::AddTable& /*edit*/) {
    REQUIRE_FALSE(table.exists);
    table.exists = true;
  }
  void carry_out(const nat::nftables::DeleteTable& /*edit*/) {
    REQUIRE(table.exists);
    table = {};
  }
  void carry_out(const nat::nftables::AddChain& edit) {
    REQUIRE(table.chains.try_emplace(edit.chain, nat::nftables::ObservedChain{edit.is_base}).second);
  }
  void carry_out(const nat::nftables::DeleteChain& edit) {
    REQUIRE(table.chains.at(edit.chain).rules.empty());
    for (const auto& [name, observed] : table.sets) {
      for (const auto& element : observed.set.elements) REQUIRE(element.value != edit.chain);
    }
    table.chains.erase(edit.chain);
  }
  void carry_out(const nat::nftables::AddSet& edit) {
    REQUIRE(table.sets.try_emplace(edit.set, nat::nftables::ObservedSet{{edit.family, edit.kind}}).second);
  }
  void carry_out(const nat::nftables::DeleteSet& edit) {
    for (const auto& [name, chain] : table.chains) {
      for (const auto& each : chain.rules) {
        for (const auto& set : sets_of(each.rule)) REQUIRE(set != edit.set);
      }
    }
    REQUIRE(table.sets.erase(edit.set) == 1);
  }
  void carry_out(const nat::nftables::AddElements& edit) {
    auto& elements = table.sets.at(edit.set).set.elements;
    REQUIRE(table.sets.at(edit.set).set.kind == edit.kind);
    for (const auto& element : edit.elements) {
      for (const auto& other : elements) {
        REQUIRE((element.range.last < other.range.first || other.range.last < element.range.first));
      }
      REQUIRE((element.value.empty() || table.chains.contains(element.value)));
      elements.push_back(element);
    }
    std::ranges::sort(elements, {}, &nat::Interval<std::string>::range);
  }
  void carry_out(const nat::nftables::DeleteElements& edit) {
    for (const auto& element : edit.elements)
      REQUIRE(std::erase(table.sets.at(edit.set).set.elements, element) == 1);
  }
  void carry_out(const nat::nftables::InsertRule& edit) {
    auto& rules = table.chains.at(edit.chain).rules;
    const auto place = edit.before
                           ? std::ranges::find(rules, *edit.before, &nat::nftables::ObservedRule::handle)
                           : rules.end();
    REQUIRE((place != rules.end() || !edit.before));
    REQUIRE(edit.rule.other.empty());
    for (const auto& set : sets_of(edit.rule)) REQUIRE(table.sets.contains(set));
    rules.insert(place, {edit.rule, ++handles_});
  }
  void carry_out(const nat::nftables::DeleteRule& edit) {
    const auto gone = [&edit](const nat::nftables::ObservedRule& each) {
      return each.handle == edit.handle && each.rule == edit.rule;
    };
    REQUIRE(std::erase_if(table.chains.at(edit.chain).rules, gone) == 1);
  }

  std::uint64_t handles_ = 0;
};

}  // namespace ipmasq::test
