// The other networks of a node, which no call about one of them depends on.
#pragma once

#include <string>
#include <vector>

#include "plugin/verbs/node.hpp"

namespace ipmasq::plugin {

/// Moves other networks than `network` that are on their way to another back end, or ought to be, and sees to
/// it that what `network` drops is its own; under the exclusive lock. What cannot be done is told, a line
/// each, and left to `ip-masq sync`.
std::vector<std::string> settle_others(const Node& node, const std::string& network);

}  // namespace ipmasq::plugin
