// Our part of a nat table as it was read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "nat/iptables_rules.hpp"

namespace ipmasq::nat::iptables {

/// A rule in the kernel and what it has counted.
struct ObservedRule {
  Rule rule;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

/// hook_rule() where it stands in POSTROUTING.
struct ObservedHook {
  std::size_t index = 0;  ///< counted from 0
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

struct ObservedTable {
  std::map<std::string, std::vector<ObservedRule>> chains;  ///< ours
  std::vector<ObservedHook> hooks;                          ///< by rising index; one, where all is right
  std::size_t hook_chain_size = 0;                          ///< rules in POSTROUTING, whoever's
  /// Chains of ours that somebody else's rule leads to. Such a rule is not ours, and the kernel lets no chain
  /// go while one is there.
  std::set<std::string> entered_by_others;
};

}  // namespace ipmasq::nat::iptables
