// What the rules that stand in one family's nat table do to a connection.
#pragma once

#include <optional>
#include <vector>

#include "nat/explain.hpp"
#include "nat/iptables_observed.hpp"
#include "nat/ruleset.hpp"
#include "net/address.hpp"

namespace ipmasq::nat::iptables {

/// Of a new connection that carries no mark, that nobody redirected and that leaves the node. nullopt where
/// our rules are not asked: the jump from POSTROUTING is not there, or none of ours leads on from that
/// source. Not certain where a rule in its way may match or not (one of a protocol, a share, a match that
/// ip-masq never writes) and would do something else than the rule that decides without it, or is none of
/// ours.
std::optional<Standing> standing(const ObservedTable& observed, const net::Address& source,
                                 const net::Address& destination);

/// The sources that lead to a network's chain, in the order of nat::comes_first.
std::vector<Source> sources(const ObservedTable& observed, net::Family family);

}  // namespace ipmasq::nat::iptables
