// CRI-O's configuration: crio.conf(5), and every file below crio.conf.d(5), the last of which wins.
#pragma once

#include <optional>

#include "runtime/folders.hpp"
#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

/// nullopt where there is no such file. Throws Error.
std::optional<Folders> read_crio(const NodeFiles& files);

}  // namespace ipmasq::runtime
