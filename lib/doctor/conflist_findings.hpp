// What doctor finds of the networks that the runtime loads, and of the program that it calls.
#pragma once

#include "doctor/findings.hpp"

namespace ipmasq::doctor {

/// Appends them in the order in which one would mend them.
void find_conflist_findings(const Facts& facts, Findings& findings);

}  // namespace ipmasq::doctor
