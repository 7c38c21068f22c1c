#include "plugin/ways/pods_on_node.hpp"

#include <map>

#include "cni/cache.hpp"
#include "cni/result.hpp"
#include "plugin/verbs/caches.hpp"

namespace ipmasq::plugin {

std::vector<PodOnNode> pods_on_node(const Recorded& recorded) {
  cni::CacheFilter filter;
  for (const auto& [name, network] : recorded) filter.networks.insert(name);
  const auto cache = read_caches_of_node(filter);
  std::map<std::string, const cni::Json*> results;
  for (const auto& cached : cache.living)
    results.emplace(cni::cache_name(cached.network, cached.id), &cached.result);
  std::vector<PodOnNode> pods;
  for (const auto& [name, network] : recorded) {
    for (const auto& attachment : network.stored.attachments) {
      const auto found = results.find(cni::cache_name(name, attachment.id));
      if (found == results.end() || attachment.bypasses_node) continue;
      pods.push_back(
          {name, attachment, cni::host_interfaces(*found->second), cni::gateways_of_routes(*found->second)});
    }
  }
  return pods;
}

}  // namespace ipmasq::plugin
