// containerd's configuration (containerd-config.toml(5), docs/cri/config.md): the folders of its CRI plugin,
// in a table whose name goes with the file's version, of which an older version's is nothing. k3s, RKE2 and
// microk8s write the same file elsewhere.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "runtime/folders.hpp"
#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

/// As containerd is built.
inline constexpr auto containerd_networks = "/etc/cni/net.d";
inline constexpr auto containerd_plugins = "/opt/cni/bin";

/// A text of the file that stands for another: {"${SNAP_DATA}", "/var/snap/microk8s/current"}.
using Replaced = std::pair<std::string, std::string>;

struct Containerd {
  bool runs_pods = true;  ///< false: its CRI plugin is disabled, as in Docker's
  Folders folders;
};

/// `path` and the files that it imports, where what comes later wins; nullopt where there is no such file.
/// Throws Error.
std::optional<Containerd> read_containerd(const NodeFiles& files, const std::filesystem::path& path,
                                          const Replaced& replaced = {});

}  // namespace ipmasq::runtime
