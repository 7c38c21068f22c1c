// Where pods get to when multus, or the shim of its daemon, is what the runtime loads (multus-cni,
// docs/configuration.md: "delegates", "clusterNetwork"). The networks that a pod's annotations ask for beside
// come on top of that.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "conflist/conflist.hpp"

namespace ipmasq::conflist {

/// One of these.
struct Led {
  const Network* list = nullptr;         ///< a file of the folder
  std::optional<Network> embedded = {};  ///< a copy that multus' own file holds, under the name of that file
  std::string elsewhere = {};            ///< what is not in the folder, or not told: "/etc/other/10.conflist"
  bool is_missing = false;               ///< that would be a file of the folder, and there is none
  /// The name that multus asks the API server for before it looks in the folder; empty where it asks nobody.
  std::string asked_for = {};
};

/// nullopt where `first`, one of `networks`, is no file of multus. `folder`: where they are; a container may
/// see it under a longer path, such as /host/etc/cni/net.d, and links may lead there (File::leads_here).
std::optional<Led> led_by_multus(const Network& first, const std::vector<Network>& networks,
                                 const std::filesystem::path& folder);

/// A file of the folder that multus takes by its path.
struct NamedFile {
  std::string by;    ///< multus' own file: "00-multus.conf"
  std::string key;   ///< there: "clusterNetwork", "defaultNetworks", or "readinessindicatorfile"
  std::string path;  ///< as it stands there
  std::string name;  ///< the file's, without a folder; that it is there is not said
};

/// Without any of them each ADD fails (multus-cni, pkg/k8sclient: getNetDelegate, pkg/multus: CmdAdd).
std::vector<NamedFile> named_by_multus(const Network& network, const std::filesystem::path& folder);

/// The same of all files of the folder, those alone that name this one.
std::vector<NamedFile> who_names(const std::string& name, const std::vector<Network>& networks,
                                 const std::filesystem::path& folder);

/// What to write where, for another file of the folder to be taken instead: "write
/// \"/etc/cni/net.d/a.conflist\" under \"clusterNetwork\" of /etc/cni/net.d/00-multus.conf, ...".
std::string told_to_name(const NamedFile& named, const std::string& instead,
                         const std::filesystem::path& folder);

}  // namespace ipmasq::conflist
