// What is to stand of ours in one family's nat table, after a call, or again after its undoing.
#pragma once

#include <cstddef>
#include <optional>

#include "nat/iptables_observed.hpp"
#include "nat/iptables_rules.hpp"
#include "nat/ruleset.hpp"

namespace ipmasq::nat::iptables {

struct State {
  Chains chains;                            ///< without POSTROUTING
  std::optional<std::size_t> hook_at = {};  ///< place of hook_rule() in POSTROUTING, counted from 0
};

/// What `ruleset` asks for, with what stays of the observed table as it says (see nat::Ruleset): a network,
/// and a policy, is told by the comment of the rule that leads to its chain. Nothing of ours where no source
/// is left.
State target(const ObservedTable& observed, const Ruleset& ruleset, net::Family family);

/// What of `before`, as a call that then made `after` of it found it, can stand again. Of rules that ip-masq
/// never writes those alone that `after` has as well: they cannot be written again.
ObservedTable restorable(ObservedTable before, const State& after);

/// What brings that back; of doubled hooks the first one.
State as_it_was(const ObservedTable& restorable);

}  // namespace ipmasq::nat::iptables
