// What doctor finds of the lists that a runtime of containerd's has for itself, and with it pods of a
// RuntimeClass.
#pragma once

#include "doctor/facts.hpp"
#include "doctor/findings.hpp"

namespace ipmasq::doctor {

void find_runtime_findings(const Facts& facts, Findings& findings);

}  // namespace ipmasq::doctor
