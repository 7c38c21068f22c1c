// podman's configuration for root: containers.conf(5), its network table. podman runs CNI plugins with the
// back end "cni" alone, which it has up to version 4.
#pragma once

#include <string>

#include "runtime/folders.hpp"
#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

struct Podman {
  std::string backend = {};          ///< "cni", "netavark"; empty where nothing tells
  std::string backend_said_by = {};  ///< "network_backend in /etc/containers/containers.conf"
  Folders folders;                   ///< where the back end may be "cni"; else as podman is built
};

/// Throws Error.
Podman read_podman(const NodeFiles& files);

}  // namespace ipmasq::runtime
