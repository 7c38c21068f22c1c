// What a source that stands in the kernel, though nothing is recorded of it, does to pods of other networks.
#pragma once

#include <string>
#include <vector>

#include "nat/ruleset.hpp"
#include "plugin/verbs/node.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

/// The recorded pods of other networks whose packets meet it first: "10.244.1.5 of network cbr0", a line
/// each. Asks the kernel once for each pod that it holds. Throws Error.
std::vector<std::string> pods_decided_over(const Node& node, const Recorded& recorded,
                                           const nat::Source& source);

}  // namespace ipmasq::plugin
