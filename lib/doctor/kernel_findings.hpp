// What doctor finds of the way that pods' packets take through this node beside NAT: whether they are
// forwarded, tracked, and answered.
#pragma once

#include "doctor/findings.hpp"

namespace ipmasq::doctor {

/// Appends them in the order in which one would mend them.
void find_kernel_findings(const Facts& facts, Findings& findings);

}  // namespace ipmasq::doctor
