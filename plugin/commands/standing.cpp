#include "plugin/commands/standing.hpp"

namespace ipmasq::plugin {

std::optional<StandingRule> standing_rule(const Node& node, const net::Address& source,
                                          const net::Address& destination) {
  std::optional<StandingRule> found;
  for (const auto backend : {config::Backend::nftables, config::Backend::iptables}) {
    auto* const opened = node.open(backend);
    if (!opened->may_hold_rules()) continue;
    const auto standing = opened->standing(source, destination);
    if (!standing) continue;
    if (standing->fate != nat::Fate::left_alone || !standing->is_certain)
      return StandingRule{backend, *standing};
    if (!found) found = {backend, *standing};
  }
  return found;
}

}  // namespace ipmasq::plugin
