// Whether others let through what pods send, and what comes back to them.
#pragma once

#include <string>
#include <vector>

#include "doctor/facts.hpp"

namespace ipmasq::doctor {

/// Followed on each way of pods through the node: the first packet of a connection of TCP and of UDP and the
/// answer to it, kept and masqueraded. In the order in which packets meet them.
/// `not_looked` gets why some are not known.
std::vector<ForwardDrop> forward_drops(const Facts& facts, std::vector<std::string>& not_looked);

}  // namespace ipmasq::doctor
