// Where this node leads packets on to a place that they do not come out of again.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "routing/learned_routes.hpp"
#include "routing/refusal.hpp"

namespace ipmasq::plugin {

struct LostLead {
  routing::Lead lead;
  std::string where;        ///< "to lo, where it ends"; "back to cni0, where pods are"
  bool are_all = true;      ///< else some next hops alone
  bool is_certain = false;  ///< else somebody may be there who takes them
};

/// What pods send to somebody who is no pod; nullopt where it is led out. `pod_interfaces` are those of all
/// pods. Throws Error.
std::optional<LostLead> lost_lead_of(const routing::Asked& sent, const routing::PolicyRouting& routing,
                                     const std::set<std::string>& pod_interfaces);

/// Whether answers that came by `uplink` are lost where a route leads them to an interface that is not the
/// pod's. Throws Error.
bool loses_answers(const routing::Lead& lead, const std::string& interface, const std::string& uplink,
                   const std::set<std::string>& pod_interfaces);

/// Destinations of what somebody put on link, narrower than all, to where what pods send may be lost. Throws
/// Error.
std::set<net::Prefix> routes_that_may_lose(const std::vector<routing::KernelRoute>& routes,
                                           const std::set<std::string>& pod_interfaces);

/// "cni0, cni1".
std::string joined(const std::set<std::string>& names);

}  // namespace ipmasq::plugin
