#include "plugin/verbs/adoption.hpp"

#include <algorithm>
#include <iterator>

#include "error/error.hpp"
#include "plugin/verbs/attachment.hpp"
#include "plugin/verbs/caches.hpp"
#include "plugin/verbs/own_address.hpp"
#include "plugin/verbs/policies.hpp"

namespace ipmasq::plugin {

Unadopted find_unadopted(const state::Store& store, const std::string& network,
                         const config::Netconf& netconf, const cni::Cache& cache,
                         const std::set<net::Prefix>& others) {
  Unadopted unadopted{.problems = cache.problems};
  const auto own = store.subnets(network);
  for (const auto& cached : cache.living) {
    if (cached.network != network || store.attachment(network, cached.id)) continue;
    try {
      auto attachment =
          attachment_of(cached.id, {cached.args, cached.capabilities}, cached.result, netconf, own);
      attachment.adopted_from = cached.netns;
      unadopted.shared_subnets.merge(lans_of(attachment));
      unadopted.shared_subnets.merge(leave_to_others(attachment, own, others));
      unadopted.attachments.push_back(std::move(attachment));
    } catch (const Error& error) {
      unadopted.problems.push_back("network " + network + ": " + cached.id.container_id + " (" +
                                   cached.id.interface + "): " + error.what());
    }
  }
  // One that tells of nobody may be new: of a runtime that keeps it elsewhere now, or of a disk that was
  // lost.
  unadopted.is_all = cache.is_complete && unadopted.problems.empty() && cache.told.contains(network);
  return unadopted;
}

bool has_ended(const state::Attachment& attachment) {
  try {
    return !attachment.adopted_from.empty() &&
           cni::look_at_namespace(attachment.adopted_from) == cni::Namespace::gone;
  } catch (const Error&) {
    return false;
  }
}

void adopt(Unadopted unadopted, Plan& plan) {
  for (const auto& attachment : unadopted.attachments)
    plan.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
  std::ranges::move(unadopted.attachments, std::back_inserter(plan.attachments));
  plan.has_all_pods = unadopted.is_all;
  plan.shared_subnets.merge(unadopted.shared_subnets);
  lead_planned_by_policy(plan);
}

std::vector<std::string> adopt_beside(const cni::AttachmentId& first, const Node& node, Plan& plan) {
  const auto cache = read_caches_of_node(
      {.networks = {plan.network}, .known = {{cni::cache_name(plan.network, first), plan.network}}});
  auto unadopted = find_unadopted(node.store, plan.network, *config::netconf_of(plan.configuration), cache,
                                  subnets_of_others(node, plan.network));
  auto problems = std::move(unadopted.problems);
  adopt(std::move(unadopted), plan);
  return problems;
}

}  // namespace ipmasq::plugin
