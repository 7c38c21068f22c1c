// The interfaces by which pods' packets come, where the node's own ways to the pods do not say so.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "net/address.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

using OwnInterfaces = std::map<net::Address, std::string>;

/// Of recorded pods that live: what the result of their ADD names on this node, as the runtime's cache has
/// it, where the node's way to the pod is by another. Throws Error.
OwnInterfaces own_interfaces(const Recorded& recorded);

/// That, or else the node's own way to it, as of routing::interface_of_pod. Throws Error.
std::optional<std::string> interface_of_pod(const OwnInterfaces& own, const net::Address& pod);

}  // namespace ipmasq::plugin
