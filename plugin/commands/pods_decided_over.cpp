#include "plugin/commands/pods_decided_over.hpp"

#include <algorithm>

#include "plugin/verbs/met_first.hpp"

namespace ipmasq::plugin {

std::vector<std::string> pods_decided_over(const Node& node, const Recorded& recorded,
                                           const nat::Source& source) {
  std::vector<std::string> pods;
  for (const auto& [name, network] : recorded) {
    const auto plan = name == source.network ? std::nullopt : network.plan();
    if (!plan) continue;
    const auto on = network.stored.record->placement.on;
    for (const auto& attachment : network.stored.attachments) {
      const bool is_held = std::ranges::any_of(
          attachment.addresses, [&source](const auto& pod) { return source.prefix.contains(pod.address); });
      const auto first = is_held ? met_first(node, *plan, on, attachment) : std::nullopt;
      if (first && first->source == source)
        pods.push_back(net::to_text(first->address) + " of network " + name);
    }
  }
  return pods;
}

}  // namespace ipmasq::plugin
