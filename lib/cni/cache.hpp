// libcni's cache: what it recorded of each attachment that its runtime made and has not ended (libcni/api.go:
// cachedInfo, cacheAdd). containerd, CRI-O, podman and cnitool keep it at the same place.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cni/json.hpp"
#include "cni/request.hpp"

namespace ipmasq::cni {

/// libcni's own place; dockershim's and cri-dockerd's, as it is built.
inline constexpr std::array cache_folders{"/var/lib/cni/results", "/var/lib/cni/cache/results"};

/// "A or B"
std::string cache_folders_text();

struct CachedAttachment {
  std::string network;
  AttachmentId id;
  std::string args;                              ///< as in CNI_ARGS
  Json result;                                   ///< of the whole chain, an object
  std::string netns;                             ///< the path of the pod's network namespace
  Json list = nullptr;                           ///< the conflist as it was; null where that is not told
  Json capabilities = nullptr;                   ///< as in runtimeConfig; null where the runtime gave none
  std::filesystem::file_time_type written = {};  ///< where the conflist is told
};

struct Cache {
  std::vector<CachedAttachment> living = {};  ///< by file name: those whose network namespace is there
  std::vector<std::string> problems = {};     ///< files that could not be read, or of whose pods nobody can
                                              ///< tell whether they live, a line each, and not many
  std::vector<std::string> not_seen = {};     ///< pods whose network namespace may be mounted where this
                                              ///< process does not see it, a line each, and not many
  std::set<std::string> unread = {};          ///< the networks that such files are of, as their names say
  bool is_listed = false;                     ///< false where there is no such folder, or none to be read
  bool is_complete = false;                   ///< every file was read, and each pod is known to live or not
  std::set<std::string> told = {};  ///< the networks that it has one of `living`, or a known one, of
};

/// Which attachments are asked for.
struct CacheFilter {
  std::set<std::string> networks;
  std::map<std::string, std::string> known = {};  ///< not these: the network of each, by file name
  /// Of other networks: those whose conflist, as it was, is wanted. None: their files are not read.
  std::function<bool(const Json& list)> wants_list = {};
};

/// NETWORK-CONTAINER-INTERFACE, by which libcni names a file.
std::string cache_name(const std::string& network, const AttachmentId& id);

enum class Namespace {
  there,
  gone,    ///< nothing has that name
  hidden,  ///< something has, but no namespace: it is gone, or its mount is not seen in this container
};

/// A pod's network namespace, by its path. The one that this process is in is none. Throws Error{failed}
/// where nobody can tell from here, as in a container that has no such folder.
Namespace look_at_namespace(const std::string& path);

/// The text of the file of that name; nullopt for an attachment that is not asked for. Throws
/// Error{wrong_text}.
std::optional<CachedAttachment> parse_cached(const std::string& name, std::string_view text,
                                             const CacheFilter& filter);

/// What is in any of cache_folders, and in `more`.
Cache read_caches(const CacheFilter& filter, const std::vector<std::filesystem::path>& more = {});

/// Of one folder. Reads files of kind cniCacheV1, and, of the networks named, the plain results of libcni
/// before 0.8. What is wrong is told and stepped over, whatever it is; names are checked, files are bounded
/// in number and size, and they and the folder must be nobody else's. Never throws Error.
Cache read_cache(const std::filesystem::path& folder, const CacheFilter& filter);

}  // namespace ipmasq::cni
