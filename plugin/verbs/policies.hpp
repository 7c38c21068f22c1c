// Which of its network's policies a pod has: by what is recorded of it, under a configuration.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/policies.hpp"
#include "config/shared_configuration.hpp"
#include "plugin/verbs/plan.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

/// None of a pod whose address another one has by now.
config::PolicyChoice policy_of(const state::Attachment& attachment, const config::Netconf& netconf);

/// Leads a pod that has a policy by its own addresses, and one that has none any more by its pod subnets
/// alone, where these are wider. Whether it has another policy by that.
bool lead_by_policy(state::Attachment& attachment, const config::Netconf& netconf);

/// The policies of the addresses of attachments (empty for none), as nat::Network has them; nothing where the
/// network has no policies.
std::map<net::Prefix, std::string> policies_of(const std::vector<state::Attachment>& attachments,
                                               const config::Netconf& netconf);

/// Whether rules that were made of `made_of` may depend on a pod's policy.
bool has_policies(const config::MadeOf& made_of);

/// Plans the policies of the pods that a call is about, by which they lead as well.
void lead_planned_by_policy(Plan& plan);

/// The same of other pods of the network, which are planned where they have another policy now.
void lead_by_policy(const state::Store& store, std::vector<state::Attachment> attachments, Plan& plan);
/// Of all that are recorded: reads every record.
void lead_all_by_policy(const state::Store& store, Plan& plan);

}  // namespace ipmasq::plugin
