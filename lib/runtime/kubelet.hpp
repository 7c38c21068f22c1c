// What a node's kubelet is told of the container runtime (KubeletConfiguration, containerRuntimeEndpoint;
// before 1.27 the flag --container-runtime-endpoint).
#pragma once

#include <optional>
#include <string>

#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

struct Kubelet {
  std::string endpoint = {};  ///< "unix:///run/crio/crio.sock"; empty where no file says it
  std::string said_by = {};   ///< the file, a unit's among them
};

/// By the files that kubeadm, GKE, Gardener and "Kubernetes the hard way" leave, and by its unit where that
/// runs, is enabled, or stands beside one of these; nullopt where there are none. A flag counts more than the
/// configuration, and than a unit that cannot be read. Throws Error.
std::optional<Kubelet> read_kubelet(const NodeFiles& files);

/// The endpoint of a runtime that a file of keys or flags names last; nullopt where it names none.
std::optional<std::string> endpoint_in(const std::string& text);

}  // namespace ipmasq::runtime
