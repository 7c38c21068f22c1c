// What is asked of a node to find out why its pods are hidden.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cni/json.hpp"
#include "nat/foreign_rule.hpp"
#include "nat/ruleset.hpp"
#include "net/address.hpp"

namespace ipmasq::doctor {

/// A file in the CNI configuration folder.
struct Conflist {
  std::filesystem::path path;
  cni::Json json;
};

/// A network of ours, as recorded.
struct Network {
  std::string name;
  std::string backend;
  std::vector<net::Prefix> pod_subnets;
};

/// What ip-masq knows of itself; of each list a line a thing, none where all is well.
struct Ours {
  std::vector<Network> networks;
  nat::Ruleset wanted = {};
  std::vector<std::string> differences = {};   ///< of our rules from what is wanted
  std::vector<std::string> on_their_way = {};  ///< networks between two back ends
  std::vector<std::string> wrong_files = {};   ///< and so not in force
  std::vector<std::string> misspelt = {};      ///< keys
  std::vector<std::string> damaged_records = {};
  std::vector<std::string> unrecorded = {};   ///< rules that no record needs
  std::vector<std::string> unavailable = {};  ///< why the kernel's NAT cannot be used
  std::vector<std::string> bypassing = {};    ///< pods whose packets do not pass this node
  std::set<std::string> containers = {};      ///< IDs of all attachments
  std::vector<std::string> not_adopted = {};  ///< pods of our networks that live and are not recorded
  std::vector<std::string> not_told = {};     ///< why it cannot be told of some pods
};

/// The node beside ip-masq.
struct Surroundings {
  nat::Foreign foreign;
  std::set<net::Address> addresses;        ///< of the node's interfaces
  std::set<std::string> pod_devices = {};  ///< by which pods' packets come; empty where it is not known
  std::filesystem::path subnet_file;
  std::optional<bool> flannel_masquerades;  ///< FLANNEL_IPMASQ of subnet_file
  std::vector<Conflist> conflists;
  std::optional<cni::Json> docker_config;  ///< daemon.json
  std::set<std::string> processes;  ///< names of what runs in this network namespace, as the kernel cuts
                                    ///< them (15 bytes)
  std::vector<std::string> cached_results;  ///< file names in libcni's cache: NETWORK-CONTAINER-INTERFACE
  bool forwards_ipv4 = true;
  bool forwards_ipv6 = true;
  std::vector<std::string> strict_interfaces;  ///< whose rp_filter is 1
  std::vector<net::Prefix> ospf_routes;        ///< networks that the kernel knows by OSPF
};

struct Facts {
  Ours ours;
  Surroundings node;
};

/// Reads what is in files and /proc: all of Surroundings but `foreign`, addresses and
/// routes. What cannot be read is
/// left out.
Surroundings read_surroundings(const std::filesystem::path& conf_dir,
                               const std::filesystem::path& subnet_file);

}  // namespace ipmasq::doctor
