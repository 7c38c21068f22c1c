// What doctor finds of those who masquerade beside us: docker, flannel, the bridge and ptp plugins,
// ip-masq-agent, kube-proxy, and copies of our own rules.
#pragma once

#include "doctor/facts.hpp"
#include "doctor/findings.hpp"

namespace ipmasq::doctor {

/// Appends them in the order in which one would mend them.
void find_masquerades(const Facts& facts, Findings& findings);

}  // namespace ipmasq::doctor
