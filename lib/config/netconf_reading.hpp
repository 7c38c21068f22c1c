// What is asked of a netconf by those who need not all of its keys as values: they are in config/netconf.hpp,
// which fewer need.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <vector>

#include "cni/json.hpp"
#include "config/backend.hpp"
#include "config/changed_flows.hpp"
#include "config/shared_configuration.hpp"
#include "net/address.hpp"

namespace ipmasq::config {

struct AgentFile;

/// In bits: of what is wider nobody hands out addresses, and half the world would be pods.
inline constexpr unsigned widest_pod_network = 8;

/// Throws what parse_netconf of config/netconf.hpp would.
void check_netconf(const cni::Json& json, const AgentFile* file = nullptr);

/// What is wrong with a key of `file` whatever else is configured. Throws Error{wrong_config}.
void check_values(const AgentFile& file);

/// `stateDir` alone, for a call that must work whatever else the netconf says. Throws
/// Error{wrong_config}.
std::filesystem::path parse_state_dir(const cni::Json& json);

/// `lockTimeout` of a netconf. Throws Error{wrong_config} for what is wrong with any key.
std::chrono::nanoseconds parse_lock_timeout(const cni::Json& json);

/// The netconf's own pod subnets where it names them for a family, else the networks of `addresses`: each
/// once, in order. Addresses that no router forwards (loopback, fe80::/10) have none. Throws
/// Error{wrong_config} where nothing is left, for a network of length 0, and for an address that
/// podSubnets leaves out.
std::vector<net::Prefix> pod_subnets_of(const Netconf& netconf,
                                        const std::vector<net::InterfaceAddress>& addresses);

/// Of nonMasqueradeCIDRs, where nobody says anything.
std::vector<net::Prefix> default_non_masquerade();

/// Which one the netconf in force names; none: "auto".
std::optional<Backend> backend_of(const Configuration& configuration);
const MadeOf& made_of(const Configuration& configuration);
ChangedFlows changed_flows_of(const Configuration& configuration);

/// in_force of config/in_force.hpp, of what the netconf and its files say now.
SharedConfiguration in_force(const cni::Json& netconf, const std::optional<MadeOf>& last_good,
                             const HasPods& has_pods);

}  // namespace ipmasq::config
