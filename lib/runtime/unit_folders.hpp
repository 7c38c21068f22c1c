// Folders that a runtime is told on the command line of its service.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/folders.hpp"
#include "runtime/node_files.hpp"

namespace ipmasq::runtime {

/// A path that an option of these units names; nullopt where it is not given, or empty. Throws Error, as
/// option_of, and where it is not absolute.
std::optional<std::filesystem::path> path_of_option(const std::vector<std::string>& units,
                                                    const std::vector<std::string>& names,
                                                    const NodeFiles& files);

/// Where an option names the folder of networks, or folders of plugins with commas between them, these and
/// who says so take the place of what `folders` has. Whether it does. Throws Error, as path_of_option.
bool take_networks(const std::vector<std::string>& units, const char* option, const NodeFiles& files,
                   Folders& folders);
bool take_plugins(const std::vector<std::string>& units, const char* option, const NodeFiles& files,
                  Folders& folders);

}  // namespace ipmasq::runtime
