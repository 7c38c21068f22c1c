#include "plugin/commands/pods_decided_over.hpp"

#include <algorithm>
#include <map>
#include <set>

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

std::vector<std::string> addresses_of_two_networks(const Recorded& recorded) {
  struct Pods {
    std::set<std::string> networks;
    std::string text;
  };
  std::map<net::Address, Pods> by_address;
  for (const auto& [name, network] : recorded) {
    for (const auto& attachment : network.stored.attachments) {
      for (const auto& each : attachment.addresses) {
        auto& [networks, text] = by_address[each.address];
        networks.insert(name);
        text += (text.empty() ? ": " : ", ") + attachment.id.container_id + " (" + attachment.id.interface +
                ") of network " + name;
      }
    }
  }
  std::vector<std::string> lines;
  for (const auto& [address, pods] : by_address) {
    if (pods.networks.size() > 1) lines.push_back(net::to_text(address) + pods.text);
  }
  return lines;
}

}  // namespace ipmasq::plugin
