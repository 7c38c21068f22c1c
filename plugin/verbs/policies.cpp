#include "plugin/verbs/policies.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "config/in_force.hpp"
#include "error/error.hpp"
#include "plugin/verbs/own_address.hpp"

namespace ipmasq::plugin {

namespace {

// "NAMESPACE/NAME"; empty where the runtime did not say.
std::string_view namespace_of(const state::Attachment& attachment) {
  const std::string_view pod = attachment.pod;
  return pod.substr(0, std::min(pod.find('/'), pod.size()));
}

bool is_in(const net::Prefix& prefix, const std::vector<net::Prefix>& subnets) {
  return std::ranges::find(subnets, prefix) != subnets.end();
}

void plan_led(const state::Attachment& attachment, Plan& plan) {
  plan.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
  for (const auto& subnet : attachment.pod_subnets) plan.gone.erase(subnet);
}

}  // namespace

config::PolicyChoice policy_of(const state::Attachment& attachment, const config::Netconf& netconf) {
  if (attachment.has_lost_address || netconf.policies.empty()) return {};
  return config::choose_policy(netconf.policies, namespace_of(attachment), attachment.asks_for);
}

bool lead_by_policy(state::Attachment& attachment, const config::Netconf& netconf) {
  const auto before = attachment.policy;
  const auto* const policy = policy_of(attachment, netconf).policy;
  attachment.policy = policy == nullptr ? "" : policy->name;
  auto& subnets = attachment.pod_subnets;
  for (const auto& each : attachment.addresses) {
    const auto host = net::host_prefix(each.address);
    const bool has_wider = std::ranges::any_of(
        subnets, [&host](const net::Prefix& subnet) { return subnet != host && subnet.contains(host); });
    if (!has_wider) continue;  // it leads by its own address anyway, or needs no rules
    if (policy == nullptr && !before.empty()) std::erase(subnets, host);
    if (policy != nullptr && !is_in(host, subnets)) subnets.push_back(host);
  }
  return attachment.policy != before;
}

std::map<net::Prefix, std::string> policies_of(const std::vector<state::Attachment>& attachments,
                                               const config::Netconf& netconf) {
  std::map<net::Prefix, std::string> policies;
  if (netconf.policies.empty()) return policies;
  for (const auto& attachment : attachments) {
    if (attachment.has_lost_address) continue;
    const auto* const policy = policy_of(attachment, netconf).policy;
    for (const auto& each : attachment.addresses)
      policies[net::host_prefix(each.address)] = policy == nullptr ? "" : policy->name;
  }
  return policies;
}

bool has_policies(const config::MadeOf& made_of) {
  const auto are_in = [](const cni::Json& keys) {
    const auto found = keys.find("policies");
    return found != keys.end() && !found->empty();
  };
  return are_in(made_of.netconf) || (made_of.file && are_in(made_of.file->keys));
}

void lead_planned_by_policy(Plan& plan) {
  const auto& netconf = *config::netconf_of(plan.configuration);
  for (auto& attachment : plan.attachments) {
    lead_by_policy(attachment, netconf);
    plan_led(attachment, plan);
  }
  plan.policies.merge(policies_of(plan.attachments, netconf));
}

void lead_by_policy(const state::Store& store, std::vector<state::Attachment> attachments, Plan& plan) {
  const auto& netconf = *config::netconf_of(plan.configuration);
  std::erase_if(attachments, [&plan](const state::Attachment& each) {
    return std::ranges::find(plan.attachments, each.id, &state::Attachment::id) != plan.attachments.end();
  });
  plan.policies.merge(policies_of(attachments, netconf));
  std::vector<state::Attachment> changed;
  for (auto& attachment : attachments) {
    for (const auto& subnet : attachment.pod_subnets) plan.pod_subnets.erase(subnet);
    if (!lead_by_policy(attachment, netconf)) continue;
    leave_to_others(attachment, store.subnets(plan.network), subnets_of_others(store, plan.network));
    changed.push_back(attachment);
  }
  for (const auto& attachment : attachments) plan_led(attachment, plan);
  for (const auto& attachment : plan.attachments) plan_led(attachment, plan);
  std::ranges::move(changed, std::back_inserter(plan.attachments));
}

void lead_all_by_policy(const state::Store& store, Plan& plan) {
  auto stored = store.load(plan.network);
  const bool may_be_led = has_policies(config::made_of(*plan.configuration));
  if (may_be_led && !stored.unread.empty()) throw Error(Kind::failed, stored.unread.front());
  lead_by_policy(store, std::move(stored.attachments), plan);
}

}  // namespace ipmasq::plugin
