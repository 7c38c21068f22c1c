#include "plugin/verbs/attachment.hpp"

#include <algorithm>
#include <utility>

#include "cni/environment.hpp"
#include "cni/result.hpp"
#include "config/netconf_reading.hpp"
#include "config/policies.hpp"
#include "routing/node_addresses.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

std::string pod_name(const std::string& args) {
  const auto space = cni::find_arg(args, "K8S_POD_NAMESPACE");
  const auto name = cni::find_arg(args, "K8S_POD_NAME");
  return space && name && cni::is_cni_name(*space) && cni::is_cni_name(*name) ? *space + "/" + *name : "";
}

// The policy that a pod asks for, whoever wrote it: nothing that is no name of one is a name when it was
// recorded.
std::string policy_asked_for(const cni::Json& capabilities) {
  const auto value_at = [](const cni::Json& json, const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return found == json.end() ? cni::Json() : *found;
  };
  const auto asked =
      value_at(value_at(capabilities, config::annotations_capability), config::policy_annotation);
  if (!asked.is_string() || asked.get_ref<const std::string&>().empty()) return "";
  return config::is_policy_name(asked.get_ref<const std::string&>()) ? asked.get<std::string>()
                                                                     : cni::excerpt(asked);
}

// A pod of a LAN whose way out of it is this node.
bool passes_node(const cni::Json& result, net::Family family) {
  const auto here = routing::node_addresses();
  return std::ranges::any_of(cni::gateways(result), [&](const net::Address& gateway) {
    return gateway.family == family && std::ranges::find(here, gateway) != here.end();
  });
}

}  // namespace

state::Attachment attachment_of(cni::AttachmentId id, const PodTold& told, const cni::Json& result,
                                const config::Netconf& netconf, const std::set<net::Prefix>& known) {
  auto addresses = cni::addresses(result, id.interface);
  state::Attachment attachment{
      .id = std::move(id), .addresses = std::move(addresses), .pod_subnets = {}, .pod = pod_name(told.args)};
  attachment.asks_for = policy_asked_for(told.capabilities);
  attachment.pod_subnets = config::pod_subnets_of(netconf, attachment.addresses);
  // Where a pod's network is a LAN that this node itself is on, the LAN's other hosts are no pods.
  for (const auto& pod : attachment.addresses) {
    const auto subnet = std::ranges::find(attachment.pod_subnets, pod.network());
    if (subnet == attachment.pod_subnets.end()) continue;
    const auto ports = known.contains(*subnet) ? routing::Ports::passed_over : routing::Ports::asked;
    if (!routing::is_on_an_uplink(pod, cni::has_host_interface(result), ports)) continue;
    *subnet = net::host_prefix(pod.address);
    attachment.bypasses_node = attachment.bypasses_node || !passes_node(result, pod.address.family);
  }
  return attachment;
}

std::set<net::Prefix> lans_of(const state::Attachment& attachment) {
  std::set<net::Prefix> lans;
  const auto has = [&attachment](const net::Prefix& subnet) {
    return std::ranges::find(attachment.pod_subnets, subnet) != attachment.pod_subnets.end();
  };
  for (const auto& pod : attachment.addresses) {
    const bool is_alone = has(net::host_prefix(pod.address));
    if (is_alone && !has(pod.network())) lans.insert(pod.network());
  }
  return lans;
}

}  // namespace ipmasq::plugin
