// What the rules of ours that stand on this node do, in whichever back end, and whatever is recorded.
#pragma once

#include <optional>

#include "config/backend.hpp"
#include "nat/explain.hpp"
#include "net/address.hpp"
#include "plugin/verbs/node.hpp"

namespace ipmasq::plugin {

struct StandingRule {
  config::Backend backend = config::Backend::nftables;
  nat::Standing standing;
};

/// Of a new connection: nftables is met first, and what it leaves alone goes on to iptables. nullopt where no
/// rule of ours is asked. Makes no table. Throws Error.
std::optional<StandingRule> standing_rule(const Node& node, const net::Address& source,
                                          const net::Address& destination);

}  // namespace ipmasq::plugin
