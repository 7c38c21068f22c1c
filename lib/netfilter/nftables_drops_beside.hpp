// What drops packets of pods that connection tracking calls invalid, where iptables does their NAT: in our
// table of nftables all the same, as far as the kernel can carry it. A kernel that has no nftables, or not
// what the rules need, is no error.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "error/error.hpp"
#include "nat/ruleset.hpp"
#include "netfilter/nat_backend.hpp"

namespace ipmasq::netfilter {

/// `sources`: of each function, all that lead to NAT in iptables, once `wanted` is carried out. All throw
/// Error.
std::vector<std::string> drop_differences(const nat::Ruleset& wanted,
                                          const std::vector<nat::Source>& sources);
Change change_drops(const nat::Ruleset& wanted, const std::vector<nat::Source>& sources);

/// Why the kernel would not carry them; nullopt where it would, or `wanted` drops nothing. Changes nothing.
std::optional<Error> why_not_dropped(const nat::Ruleset& wanted);

/// The rules where nothing else is in the table: else they are told with those of NAT there.
std::vector<CountedRule> drop_rules_alone();

/// Sources that lead there and neither are among `sources` nor lead to NAT in nftables.
std::vector<nat::Source> drop_sources_beside(const std::vector<nat::Source>& sources);

/// Whether they stand in our table, and nothing else.
bool drops_stand_alone();

/// Whether NAT of ours may stand in the table, as NatBackend::may_hold_rules has it.
bool nftables_may_translate();

}  // namespace ipmasq::netfilter
