// CRI-O's configuration: crio.conf(5), and every file below crio.conf.d(5), the last of which wins; and the
// command line of its service, crio(8), which counts more.
#pragma once

#include <optional>

#include "runtime/folders.hpp"
#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

/// nullopt where there is neither a file nor an option. Throws Error.
std::optional<Folders> read_crio(const NodeFiles& files);

}  // namespace ipmasq::runtime
