// Pods that the rules of another network decide over.
#pragma once

#include <string>
#include <vector>

#include "nat/ruleset.hpp"
#include "plugin/verbs/node.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

/// Of a source that stands in the kernel, though nothing is recorded of it: the recorded pods of other
/// networks whose packets meet it first, "10.244.1.5 of network cbr0", a line each. Asks the kernel once for
/// each pod that it holds. Throws Error.
std::vector<std::string> pods_decided_over(const Node& node, const Recorded& recorded,
                                           const nat::Source& source);

/// Addresses that are recorded of pods of two networks: "10.244.1.5: c1 (eth0) of network a, c2 (eth0) of
/// network b", a line each.
std::vector<std::string> addresses_of_two_networks(const Recorded& recorded);

}  // namespace ipmasq::plugin
