// A nat table of iptables without a kernel, for tests of the pure core.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <variant>
#include <vector>

#include "nat/iptables_difference.hpp"
#include "networks.hpp"

namespace ipmasq::test {

/// Carries edits out, and refuses what libiptc refuses.
class IptablesTable {
 public:
  void carry_out(const std::vector<nat::iptables::Edit>& edits) {
    for (const auto& edit : edits) carry_out(edit);
  }

  nat::iptables::ObservedTable observe() const {
    nat::iptables::ObservedTable table;
    for (const auto& [chain, rules] : chains) {
      if (nat::iptables::is_our_chain(chain)) {
        auto& observed = table.chains[chain];
        for (const auto& rule : rules) observed.push_back({rule});
        continue;
      }
      const bool is_hook_chain = chain == nat::iptables::hook_chain;
      for (const auto& rule : rules) {
        if (is_hook_chain && rule == nat::iptables::hook_rule()) {
          table.hooks.push_back({table.hook_chain_size});
        } else if (!led_to(rule).empty()) {
          table.entered_by_others.insert(led_to(rule));
        }
        if (is_hook_chain) ++table.hook_chain_size;
      }
    }
    return table;
  }

  /// Returns the edits, told.
  std::string bring_to(const nat::iptables::State& state) {
    const auto observed = observe();
    const auto edits = nat::iptables::difference(observed, state);
    carry_out(edits);
    return lines(nat::iptables::to_text(edits));
  }

  std::string bring_to(const nat::Ruleset& wanted, net::Family family = net::Family::ipv4) {
    return bring_to(nat::iptables::target(observe(), wanted, family));
  }

  std::string text() const { return chains_text(chains); }

  /// All of the table.
  nat::iptables::Chains chains{{std::string(nat::iptables::hook_chain), {}}};

 private:
  // One of our chains, or empty.
  static std::string led_to(const nat::iptables::Rule& rule) {
    std::string chain;
    if (const auto* const jump = std::get_if<nat::iptables::Jump>(&rule.target)) chain = jump->chain;
    if (const auto* const leap = std::get_if<nat::iptables::Goto>(&rule.target)) chain = leap->chain;
    return nat::iptables::is_our_chain(chain) ? chain : "";
  }

  void carry_out(const nat::iptables::Edit& edit) {
    using enum nat::iptables::EditKind;
    const std::string chain(edit.chain);
    if (edit.kind == create_chain) {
      REQUIRE(chains.try_emplace(chain).second);
      return;
    }
    auto& rules = chains.at(chain);
    const auto place = rules.begin() + static_cast<std::ptrdiff_t>(edit.index);
    switch (edit.kind) {
      case delete_chain:
        REQUIRE(rules.empty());
        for (const auto& [name, others] : chains) {
          for (const auto& rule : others) REQUIRE(led_to(rule) != chain);
        }
        chains.erase(chain);
        break;
      case insert_rule:
        REQUIRE(edit.index <= rules.size());
        REQUIRE((led_to(*edit.rule).empty() || chains.contains(led_to(*edit.rule))));
        rules.insert(place, *edit.rule);
        break;
      default:
        REQUIRE(edit.index < rules.size());
        REQUIRE(*place == *edit.rule);
        rules.erase(place);
    }
  }
};

/// A rule of somebody else.
inline nat::iptables::Rule foreign_rule(const std::string& name) {
  return {.comment = name, .target = nat::iptables::OtherTarget{"MARK"}};
}

}  // namespace ipmasq::test
