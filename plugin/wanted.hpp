// What is wanted of the kernel, from what is recorded: every verb and command asks here.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/netconf.hpp"
#include "nat/ruleset.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

using Recorded = std::map<std::string, state::Network>;

struct Wanted {
  nat::Ruleset ruleset;
  /// Why rules of a network cannot be said, and so stay as they are; by network.
  std::map<std::string, std::string> problems;
};

Wanted wanted_of(const Recorded& recorded);

/// Which backend carries the rules of this node's networks.
config::BackendChoice backend_choice(const Recorded& recorded);

/// Throws cni::Error{invalid_config} where the netconf's configFile is there: this version does not read it.
void refuse_config_file(const config::Netconf& netconf);

}  // namespace ipmasq::plugin
