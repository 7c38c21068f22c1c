// Connections that live follow a change of the lists: those that would leave with another source now are
// ended, so that their next packet opens another one.
#pragma once

#include <cstddef>
#include <string>

#include "plugin/verbs/node.hpp"

namespace ipmasq::plugin {

struct FollowedChange {
  std::size_t ended = 0;     ///< connections
  std::string problem = {};  ///< why some may keep the source that they have; empty where none does
};

/// Under the exclusive lock, once the rules are right: what the record of the network says is still to be
/// followed. What cannot be done is told; it stays recorded, for the next call, where it may be done then.
FollowedChange end_changed_flows(const Node& node, const std::string& network);

}  // namespace ipmasq::plugin
