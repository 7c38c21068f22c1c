// What is wanted of the kernel, from what is recorded: every verb and command asks here.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config/netconf.hpp"
#include "nat/ruleset.hpp"
#include "netfilter/kernel.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

using Recorded = std::map<std::string, state::Network>;

struct Wanted {
  /// Of every back end; a network's rules are wanted of the one that its record names, and of no other.
  std::map<netfilter::Backend, nat::Ruleset> rulesets;
  /// Of all networks, whichever back end carries them.
  nat::Ruleset all;
  /// Why rules of a network cannot be said, and so stay as they are; by network.
  std::map<std::string, std::string> problems;
};

Wanted wanted_of(const Recorded& recorded);

/// Throws cni::Error{invalid_config} where the netconf's configFile is there: this version does not read it.
void refuse_config_file(const config::Netconf& netconf);

}  // namespace ipmasq::plugin
