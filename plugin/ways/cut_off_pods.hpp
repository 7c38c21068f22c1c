// Pods that this node does not reach, nor they it, whatever its routes and rules say: the last step to them
// is broken.
#pragma once

#include <vector>

#include "doctor/facts.hpp"
#include "plugin/ways/pods_on_node.hpp"

namespace ipmasq::plugin {

/// Throws Error.
std::vector<doctor::CutOff> cut_off_pods(const std::vector<PodOnNode>& pods);

}  // namespace ipmasq::plugin
