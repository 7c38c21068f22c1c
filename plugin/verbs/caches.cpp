#include "plugin/verbs/caches.hpp"

#include <algorithm>

#include "error/error.hpp"
#include "runtime/cri_dockerd.hpp"

namespace ipmasq::plugin {

std::vector<std::filesystem::path> more_cache_folders(std::vector<std::string>& problems) {
  try {
    const auto folder = runtime::cache_of_cri_dockerd(runtime::RealNodeFiles());
    if (folder && std::ranges::find(cni::cache_folders, *folder) == cni::cache_folders.end())
      return {*folder};
  } catch (const Error& error) {
    problems.push_back(std::string("where cri-dockerd keeps its cache: ") + error.what());
  }
  return {};
}

cni::Cache read_caches_of_node(const cni::CacheFilter& filter) {
  std::vector<std::string> problems;
  auto cache = cni::read_caches(filter, more_cache_folders(problems));
  if (problems.empty()) return cache;
  cache.is_complete = false;
  cache.problems.insert(cache.problems.end(), problems.begin(), problems.end());
  return cache;
}

}  // namespace ipmasq::plugin
