// The interfaces by which pods' packets come, where the node's own ways to the pods do not say so.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "net/address.hpp"
#include "plugin/ways/pods_on_node.hpp"

namespace ipmasq::plugin {

using OwnInterfaces = std::map<net::Address, std::string>;

/// What the results of their ADDs name, where the node's way to the pod is by another. Throws Error.
OwnInterfaces own_interfaces(const std::vector<PodOnNode>& pods);

/// That, or else the node's own way to it, as of routing::interface_of_pod. Throws Error.
std::optional<std::string> interface_of_pod(const OwnInterfaces& own, const net::Address& pod);

}  // namespace ipmasq::plugin
