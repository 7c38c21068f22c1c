// What the rules that stand in our nftables table do to a connection.
#pragma once

#include <optional>

#include "nat/explain.hpp"
#include "nat/nftables_observed.hpp"
#include "net/address.hpp"

namespace ipmasq::nat::nftables {

/// What becomes of a new connection that carries no mark, that nobody redirected and that does not end on the
/// node itself; both addresses of one family. nullopt where the kernel does not ask the table, or no map
/// leads from that source to a chain. Standing::rule is the rule that decides, "CHAIN: RULE"; empty where
/// none does.
///
/// Not certain where a rule that is not read to its end (Rule::other, a set of another type) may match, since
/// it may do anything, and where a rule for some connections only (one protocol, a share) would do another
/// thing than the rule behind it that decides for all.
std::optional<Standing> standing(const ObservedTable& observed, const net::Address& source,
                                 const net::Address& destination);

}  // namespace ipmasq::nat::nftables
