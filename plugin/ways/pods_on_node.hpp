// What the runtime's cache says of recorded pods that live: by which interfaces of this node they hang.
#pragma once

#include <string>
#include <vector>

#include "net/address.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

struct PodOnNode {
  std::string network;
  state::Attachment attachment;
  std::vector<std::string> interfaces;  ///< of this node, that the result of its ADD names, in its order
  std::vector<net::Address> gateways;   ///< that its routes lead through
};

/// Without those whose packets do not pass this node. Throws Error.
std::vector<PodOnNode> pods_on_node(const Recorded& recorded);

}  // namespace ipmasq::plugin
