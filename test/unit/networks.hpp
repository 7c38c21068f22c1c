// Networks as a node may have them recorded, for tests of the pure core.
#pragma once

#include <string>
#include <vector>

#include "nat/iptables_target.hpp"
#include "nat/network.hpp"
#include "nat/ruleset.hpp"
#include "texts.hpp"

namespace ipmasq::test {

/// `keys`: the netconf's, without braces.
nat::Network network(const std::string& name, const std::string& keys,
                     const std::vector<std::string>& pod_subnets);

/// The chains of a family as iptables-save prints their rules, chains by name.
inline std::string chains_text(const nat::iptables::Chains& chains) {
  std::string text;
  for (const auto& [chain, rules] : chains) {
    for (const auto& rule : rules) text += nat::iptables::to_text(chain, rule) + "\n";
  }
  return text;
}

inline std::string chains_text(const std::vector<nat::Network>& networks,
                               net::Family family = net::Family::ipv4) {
  return chains_text(nat::iptables::target({}, nat::wanted_ruleset(networks), family).chains);
}

}  // namespace ipmasq::test
