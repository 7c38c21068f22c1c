// The folders that a runtime reads networks from and looks for plugins in, and where that is said.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "cni/json.hpp"

namespace ipmasq::runtime {

/// How many lists of a folder pods get, each with an interface: the first in the order of their names.
struct MostLists {
  static constexpr auto all = std::numeric_limits<std::size_t>::max();

  std::size_t count = 1;
  std::string said_by = {};  ///< "max_conf_num in /etc/containerd/config.toml"; empty where nobody says it
};

/// Networks for the pods of one of containerd's runtimes alone, which RuntimeClasses lead to.
struct OwnNetworks {
  std::string runtime;  ///< "kata"
  std::filesystem::path networks;
  std::string said_by;  ///< "cni_conf_dir in /etc/containerd/config.toml"
  MostLists most_lists = {};
};

struct Folders {
  std::filesystem::path networks;
  std::vector<std::filesystem::path> plugins;  ///< in the order of the search, at least one
  /// Of each, who says so: "conf_dir in /etc/containerd/config.toml", "as containerd is built, ...".
  std::string networks_said_by = {};
  std::string plugins_said_by = {};
  /// The name of the network that pods get, where that is said; else it is the first.
  std::string network = {};
  std::string network_said_by = {};
  /// CRI-O passes over a list that asks for a program that it does not find, or cannot run.
  bool is_crios = false;
  MostLists most_lists = {};
  std::vector<OwnNetworks> own_networks = {};
  /// What `networks` may lead to once an operator goes back to a version before: the same of other revisions
  /// of a snap.
  std::vector<std::filesystem::path> other_revisions = {};

  /// "networks in /etc/cni/net.d (...), plugins in /usr/lib/cni or /opt/cni/bin (...)"
  std::string to_text() const;
};

/// A folder, or folders, that a table names under a key; nothing where it does not, or names "". Throws
/// Error{wrong_config} that names `path` where what is named is no absolute path.
std::optional<std::filesystem::path> folder_in(const cni::Json& table, const char* key,
                                               const std::string& path);
std::vector<std::filesystem::path> folders_in(const cni::Json& table, const char* key,
                                              const std::string& path);

}  // namespace ipmasq::runtime
