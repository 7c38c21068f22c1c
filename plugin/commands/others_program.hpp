// Somebody else's program under the name of ours, as the folders of plugins have it.
#pragma once

#include <string>
#include <vector>

#include "doctor/facts.hpp"

namespace ipmasq::plugin {

/// Fills in BinFolder::has_anothers, as install tells it: neither ip-masq of some version nor what is left of
/// a file that was cut off. What cannot be read is told to `not_looked`.
void tell_ours_from_others(std::vector<doctor::BinFolder>& folders, std::vector<std::string>& not_looked);

}  // namespace ipmasq::plugin
