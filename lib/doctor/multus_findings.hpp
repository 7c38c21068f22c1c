// What multus asks for beside the list that it is in.
#pragma once

#include <string>

#include "doctor/findings.hpp"

namespace ipmasq::doctor {

/// Files of the folder that multus, where the runtime loads it, takes by a path and that are not there.
void find_missing_of_multus(const Facts& facts, Findings& findings);

/// Where multus asks the API server for the list that pods get, which nobody does here; empty where it does
/// not, or where that is nothing to us.
std::string why_multus_is_not_told(const Facts& facts);

}  // namespace ipmasq::doctor
