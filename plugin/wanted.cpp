#include "plugin/wanted.hpp"

#include <system_error>

#include "cni/error.hpp"
#include "config/flannel.hpp"

namespace ipmasq::plugin {

namespace {

nat::Network network_of(const state::Network& recorded, std::string& problem) {
  nat::Network network{.name = recorded.name};
  if (recorded.is_empty()) return network;
  if (!recorded.broken.empty()) {
    network.is_known = false;
    problem = recorded.broken.front().path.string() + " is damaged: " + recorded.broken.front().reason;
  }
  if (!recorded.netconf) {
    network.is_known = false;
    problem = "its recorded configuration is missing or damaged";
    return network;
  }
  try {
    network.netconf = config::parse_netconf(*recorded.netconf);
    network.cluster_networks = config::read_cluster_networks(network.netconf.subnet_file);
  } catch (const cni::Error& error) {
    network.is_known = false;
    problem = error.what();
    return network;
  }
  for (const auto& attachment : recorded.attachments) {
    network.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
  }
  return network;
}

}  // namespace

Wanted wanted_of(const Recorded& recorded) {
  Wanted wanted;
  std::vector<nat::Network> networks;
  for (const auto& [name, network] : recorded) {
    std::string problem;
    networks.push_back(network_of(network, problem));
    if (!problem.empty()) wanted.problems.emplace(name, problem);
  }
  wanted.ruleset = nat::wanted_ruleset(networks);
  return wanted;
}

config::BackendChoice backend_choice(const Recorded& /*recorded*/) {
  return config::BackendChoice::iptables;
}

void refuse_config_file(const config::Netconf& netconf) {
  std::error_code ignored;
  if (!std::filesystem::exists(netconf.config_file, ignored)) return;
  throw cni::Error(cni::ErrorCode::invalid_config,
                   "configFile is \"" + netconf.config_file.string() +
                       "\", which exists: this version reads the network configuration only",
                   "put its lists into the conflist, or set configFile to a path that does not exist");
}

}  // namespace ipmasq::plugin
