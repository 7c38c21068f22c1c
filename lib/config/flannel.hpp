// flannel's subnet.env: what flanneld tells the plugins of its node.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/address.hpp"

namespace ipmasq::config {

/// FLANNEL_NETWORK and FLANNEL_IPV6_NETWORK (each may list several, with commas between), in the file's
/// order; none for a file that names neither. Throws Error{wrong_config} that names `path` and the
/// line.
std::vector<net::Prefix> parse_cluster_networks(std::string_view text, const std::filesystem::path& path);

/// FLANNEL_SUBNET and FLANNEL_IPV6_SUBNET: the pod subnets of this node, by the gateway's address in each;
/// none where the file does not exist. Throws Error like that.
std::vector<net::InterfaceAddress> read_own_subnets(const std::filesystem::path& path);

/// FLANNEL_IPMASQ of the file: whether flanneld masquerades; nullopt where the file does not exist or does
/// not say. Throws Error{failed}.
std::optional<bool> read_flannel_masquerades(const std::filesystem::path& path);

/// The networks of a file; none where it does not exist. Throws Error.
std::vector<net::Prefix> read_cluster_networks(const std::filesystem::path& path);

}  // namespace ipmasq::config
