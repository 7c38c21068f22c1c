#include "plugin/commands/pod_askers.hpp"

#include <algorithm>
#include <map>

#include "cni/cache.hpp"
#include "error/error.hpp"
#include "plugin/verbs/caches.hpp"
#include "routing/node_addresses.hpp"

namespace ipmasq::plugin {

namespace {

// Of pods that live, by the name of libcni's file.
using Namespaces = std::map<std::string, std::string>;

Namespaces cached_namespaces(const Recorded& recorded) {
  cni::CacheFilter filter;
  for (const auto& [name, network] : recorded) filter.networks.insert(name);
  Namespaces namespaces;
  for (const auto& cached : read_caches_of_node(filter).living)
    namespaces.emplace(cni::cache_name(cached.network, cached.id), cached.netns);
  return namespaces;
}

bool is_there(const std::string& network_namespace) {
  try {
    return cni::look_at_namespace(network_namespace) == cni::Namespace::there;
  } catch (const Error&) {
    return false;  // not seen from here, as in a container
  }
}

// Empty where none is known, or seen from here.
std::string namespace_of(const std::string& network, const state::Attachment& attachment,
                         const Namespaces& cached) {
  const auto found = cached.find(cni::cache_name(network, attachment.id));
  if (found != cached.end()) return found->second;
  return !attachment.adopted_from.empty() && is_there(attachment.adopted_from) ? attachment.adopted_from : "";
}

// The source that decides for a pod of the network: the longest that holds its address.
bool decides(const nat::Source& subnet, const net::Address& pod, const std::vector<nat::Source>& subnets) {
  const auto holds = [&](const nat::Source& each) {
    return each.network == subnet.network && each.prefix.contains(pod);
  };
  return holds(subnet) && std::ranges::none_of(subnets, [&](const nat::Source& each) {
           return holds(each) && each.prefix.length > subnet.prefix.length;
         });
}

std::string name_of(const state::Attachment& attachment) {
  return attachment.pod.empty() ? attachment.id.container_id : attachment.pod;
}

Asker asker_of(const nat::Source& subnet, const std::vector<nat::Source>& subnets,
               const RecordedNetwork& network, const Namespaces& cached) {
  Asker asker{
      .subnet = subnet,
      .why_no_pod = "no network namespace of a pod there is known (" + cni::cache_folders_text() + ")"};
  for (const auto& attachment : network.stored.attachments) {
    for (const auto& address : attachment.addresses) {
      if (!decides(subnet, address.address, subnets)) continue;
      if (attachment.bypasses_node) {
        asker.why_no_pod =
            "pod " + name_of(attachment) + " is on the LAN of an uplink: its packets do not pass this node";
        continue;
      }
      const auto its = namespace_of(subnet.network, attachment, cached);
      if (!its.empty()) return {subnet, name_of(attachment), its, address.address};
    }
  }
  return node_instead(asker, asker.why_no_pod);
}

}  // namespace

std::vector<Asker> askers_of(const std::vector<nat::Source>& subnets, const Recorded& recorded) {
  const auto cached = cached_namespaces(recorded);
  std::vector<Asker> askers;
  askers.reserve(subnets.size());
  for (const auto& subnet : subnets)
    askers.push_back(asker_of(subnet, subnets, recorded.at(subnet.network), cached));
  return askers;
}

// Not by the address of flannel.1, which is the subnet's own.
Asker node_instead(const Asker& pod, const std::string& why) {
  Asker node{.subnet = pod.subnet, .why_no_pod = why};
  const auto& prefix = pod.subnet.prefix;
  const auto addresses = routing::node_addresses();
  const auto found = std::ranges::find_if(
      addresses, [&prefix](const auto& each) { return prefix.contains(each) && each != prefix.address; });
  if (found != addresses.end()) node.source = *found;
  return node;
}

}  // namespace ipmasq::plugin
