// What keeps packets from the last step to a pod, or from the first.
#pragma once

#include "doctor/facts.hpp"
#include "doctor/findings.hpp"

namespace ipmasq::doctor {

void find_cut_off_pods(const Facts& facts, Findings& findings);

}  // namespace ipmasq::doctor
