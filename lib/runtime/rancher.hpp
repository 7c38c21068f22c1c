// Where k3s and RKE2 keep what is theirs: in the folder that "data-dir" names in their own configuration
// (docs.k3s.io/installation/configuration, docs.rke2.io/install/configuration), or on the command line or in
// the environment of their unit, or the one that they are built with.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/node_files.hpp"
#include "runtime/unit.hpp"

namespace ipmasq::runtime {

struct K3s {
  std::filesystem::path containerd_file;
  std::filesystem::path networks;
  std::filesystem::path plugins;        ///< of all its versions
  std::filesystem::path version;        ///< a link to the folder of the one that runs
  std::filesystem::path older_plugins;  ///< of that version, where there is none of all
};

/// Throws Error.
K3s find_k3s(const NodeFiles& files);

/// The files of the configuration of "k3s" or "rke2": config.yaml, or the one that its unit names, and those
/// of the folder of the same name with ".d", of which the last wins; that each is there is not said. Throws
/// Error.
std::vector<std::filesystem::path> rancher_settings(const std::string& of, const NodeFiles& files);

/// An option of any of these names on the command line of the unit of "k3s" or "rke2". Throws Error.
std::optional<UnitOption> rancher_option(const std::string& of, const std::vector<std::string>& names,
                                         const NodeFiles& files);

/// The configuration that RKE2 writes for its containerd. Throws Error.
std::filesystem::path containerd_file_of_rke2(const NodeFiles& files);

}  // namespace ipmasq::runtime
