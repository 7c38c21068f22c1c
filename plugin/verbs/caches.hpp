// What this node's runtimes recorded of attachments, wherever their files say that they do.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cni/cache.hpp"

namespace ipmasq::plugin {

/// Folders beside cni::cache_folders; why they cannot be told goes to `problems`.
std::vector<std::filesystem::path> more_cache_folders(std::vector<std::string>& problems);

/// Never throws Error.
cni::Cache read_caches_of_node(const cni::CacheFilter& filter);

}  // namespace ipmasq::plugin
