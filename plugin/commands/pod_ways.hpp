// By which interfaces pods' packets come to this node, and leave it.
#pragma once

#include <vector>

#include "doctor/facts.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

/// Of all pods that are recorded, to the world and to what their lists keep, as the kernel's routes lead. A
/// subnet whose interface is not known has a way as well, without one. Throws Error.
std::vector<doctor::PodWay> pod_ways(const Recorded& recorded);

/// What of the world, and of what lists keep, packets that come on these ways are not led to. Throws Error.
std::vector<doctor::NoWay> no_ways(const Recorded& recorded, const std::vector<doctor::PodWay>& ways);

}  // namespace ipmasq::plugin
