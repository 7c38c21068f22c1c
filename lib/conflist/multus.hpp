// Where pods get to when multus, or the shim of its daemon, is what the runtime loads (multus-cni,
// docs/configuration.md: "delegates", "clusterNetwork"). The networks that a pod's annotations ask for beside
// come on top of that.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "conflist/conflist.hpp"

namespace ipmasq::conflist {

/// One of these.
struct Led {
  const Network* list = nullptr;         ///< a file of the folder
  std::optional<Network> embedded = {};  ///< a copy that multus' own file holds, under the name of that file
  std::string elsewhere = {};            ///< what is not in the folder, or not told: "/etc/other/10.conflist"
};

/// nullopt where `first`, one of `networks`, is no file of multus. `folder`: where they are; a container may
/// see it under a longer path, such as /host/etc/cni/net.d.
std::optional<Led> led_by_multus(const Network& first, const std::vector<Network>& networks,
                                 const std::filesystem::path& folder);

}  // namespace ipmasq::conflist
