// What is kept of a configuration that was in force.
#pragma once

#include <optional>
#include <vector>

#include "cni/json.hpp"
#include "config/agent_file.hpp"
#include "net/address.hpp"

namespace ipmasq::config {

/// What a network's rules were made of: enough to make the same ones again, whatever became of the files
/// since.
// NOLINTNEXTLINE(bugprone-exception-escape): nlohmann::json declares its move noexcept
struct MadeOf {
  cni::Json netconf;                   ///< its keys that are ours
  std::optional<AgentFile> file = {};  ///< path and keys; none where there was no file
  std::vector<net::Prefix> cluster_networks = {};

  bool operator==(const MadeOf& other) const;
};

}  // namespace ipmasq::config
