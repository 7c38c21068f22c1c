// cri-dockerd's folders (its --cni-conf-dir and --cni-bin-dir): as its unit says, or as it is built.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "runtime/folders.hpp"
#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

/// `told`: who says that it is what runs pods. Throws Error, also where the unit names what is no path.
Folders read_cri_dockerd(const std::string& told, const NodeFiles& files);

/// Where it keeps libcni's cache of results, as its unit says (--cni-cache-dir); nullopt where there is no
/// unit, or one that does not say it. Throws Error.
std::optional<std::filesystem::path> cache_of_cri_dockerd(const NodeFiles& files);

}  // namespace ipmasq::runtime
