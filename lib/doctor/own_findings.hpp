// What doctor finds of ip-masq itself: its records, its configuration, its rules in the kernel.
#pragma once

#include <vector>

#include "doctor/facts.hpp"
#include "doctor/findings.hpp"

namespace ipmasq::doctor {

/// Appends them in the order in which one would mend them.
void find_own_findings(const Facts& facts, std::vector<Finding>& findings);

/// While pods are not adopted others' rules are all that they have: the findings about those say so instead
/// of how to remove them.
void adopt_before_removing(const Ours& ours, std::vector<Finding>& findings);

}  // namespace ipmasq::doctor
