// Who asks for the pods of each pod subnet: one of them where its network namespace is known here, else this
// node.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nat/ruleset.hpp"
#include "net/address.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

struct Asker {
  nat::Source subnet;
  std::string pod = {};                     ///< "namespace/name", or the container, where it is a pod
  std::string network_namespace = {};       ///< the pod's, by its path; empty where this node is to ask
  std::optional<net::Address> source = {};  ///< none where nobody can ask
  std::string why_no_pod = {};              ///< where it is none
};

/// One of each subnet, in their order. Network namespaces are those of adopted pods' records and of libcni's
/// cache. Throws Error{failed} where the node's own addresses cannot be read.
std::vector<Asker> askers_of(const std::vector<nat::Source>& subnets, const Recorded& recorded);

/// The same subnet asked for by this node itself: by its own address there, which its rules treat as they
/// treat pods, none where it has none. Throws Error{failed}.
Asker node_instead(const Asker& pod, const std::string& why);

}  // namespace ipmasq::plugin
