// cri-dockerd's folders (its --cni-conf-dir and --cni-bin-dir): as its unit says, or as it is built.
#pragma once

#include <string>

#include "runtime/folders.hpp"
#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

/// `told`: who says that it is what runs pods. Throws Error, also where the unit names what is no path.
Folders read_cri_dockerd(const std::string& told, const NodeFiles& files);

}  // namespace ipmasq::runtime
