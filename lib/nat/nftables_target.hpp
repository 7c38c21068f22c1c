// What is to stand in our nftables table once a call has had its way.
#pragma once

#include <vector>

#include "nat/nftables_observed.hpp"
#include "nat/nftables_rules.hpp"
#include "nat/ruleset.hpp"

namespace ipmasq::nat::nftables {

/// What `ruleset` wants, and what of `observed` stays beside it (Ruleset says which): sources of networks
/// that it does not decide about with their chains as they are, of those that it decides about with the
/// wanted chain. A chain that no source leads to goes; empty where no source is left. `ruleset.gone` is about
/// what was observed: what the ruleset itself wants comes all the same.
Table target(const ObservedTable& observed, const Ruleset& ruleset);

/// The same where another back end translates what `ruleset` is about: what translates here stays as it is,
/// and what drops is made for `sources`, whose NAT stands there.
Table target_of_drops(const ObservedTable& observed, const Ruleset& ruleset, std::vector<Source> sources);

}  // namespace ipmasq::nat::nftables
