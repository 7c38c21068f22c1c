// What of a node's surroundings is in files and /proc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "doctor/facts.hpp"

namespace ipmasq::doctor {

/// Reads what is in files and /proc: all of Surroundings but what the kernel is asked for by sockets.
/// `more_caches`: folders of libcni's cache beside the usual ones. What cannot be read is told in
/// `not_looked`.
Surroundings read_surroundings(const ListsFolder& lists, const PluginFolders& plugins,
                               const std::filesystem::path& subnet_file,
                               const std::vector<std::filesystem::path>& more_caches,
                               std::vector<std::string>& not_looked);

/// Reads the lists of each folder.
void read_own_lists(std::vector<OwnLists>& all, std::vector<std::string>& not_looked);

/// A counter of this network namespace by its name in /proc/net/netstat; 0 where the kernel has none. Throws
/// Error.
std::uint64_t kernel_counter(const std::string& name);

}  // namespace ipmasq::doctor
