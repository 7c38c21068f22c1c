// What doctor finds that keeps pods from starting, of the lists of a folder and the programs that they ask
// for.
#pragma once

#include "doctor/facts.hpp"
#include "doctor/findings.hpp"

namespace ipmasq::doctor {

void find_start_findings(const Facts& facts, Findings& findings);

}  // namespace ipmasq::doctor
