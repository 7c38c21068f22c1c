// Which files there are in stateDir, and under stateDir/NETWORK/, and what their names say.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "net/address.hpp"

namespace ipmasq::state {

inline constexpr auto lock_file = "lock";
inline constexpr auto agent_lock_file = ".agent";

inline constexpr auto record_file = "network.json";
inline constexpr auto pods_folder = "pods";
inline constexpr auto subnets_folder = "subnets";
inline constexpr auto hosts_folder = "hosts";

/// In order; none where there is no such folder. Throws Error{failed}.
std::vector<std::string> names_in(const std::filesystem::path& folder);

/// "10.244.1.0_24".
std::string marker_name(const net::Prefix& subnet);
std::optional<net::Prefix> parse_marker_name(std::string name);

}  // namespace ipmasq::state
