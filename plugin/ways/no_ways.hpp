// What this node does not forward of what pods send, and of the answers to it.
#pragma once

#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

/// Of the world, and of what lists keep, on these ways. What could not be asked goes to `not_looked`. Throws
/// Error.
std::vector<doctor::NoWay> no_ways(const Recorded& recorded, const std::vector<doctor::PodWay>& ways,
                                   const nat::Foreign& foreign, std::vector<std::string>& not_looked);

}  // namespace ipmasq::plugin
