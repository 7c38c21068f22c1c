// What multus asks for beside the list that it is in.
#pragma once

#include "doctor/findings.hpp"

namespace ipmasq::doctor {

/// Files of the folder that multus, where the runtime loads it, takes by a path and that are not there.
void find_missing_of_multus(const Facts& facts, Findings& findings);

}  // namespace ipmasq::doctor
