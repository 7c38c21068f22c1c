// A folder of files, as ConfigMaps are mounted, that is read as one.
#pragma once

#include <filesystem>
#include <optional>

#include "config/agent_file.hpp"

namespace ipmasq::config {

/// See read_agent_file, which takes a file as well.
std::optional<AgentFile> read_agent_folder(const std::filesystem::path& path);

}  // namespace ipmasq::config
