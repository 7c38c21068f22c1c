#include "networks.hpp"

#include <memory>

#include "config/netconf.hpp"

namespace ipmasq::test {

nat::Network network(const std::string& name, const std::string& keys,
                     const std::vector<std::string>& pod_subnets) {
  nat::Network network{.name = name,
                       .netconf = std::make_shared<const config::Netconf>(
                           config::parse_netconf(cni::Json::parse("{" + keys + "}")))};
  for (const auto& subnet : pod_subnets) network.pod_subnets.insert(prefix(subnet));
  return network;
}

}  // namespace ipmasq::test
