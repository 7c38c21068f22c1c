// The configuration in force: what a netconf and the files that it names say now; where a file is wrong, what
// was good last, for pods that run and for new ones alike.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cni/json.hpp"
#include "config/agent_file.hpp"
#include "config/made_of.hpp"
#include "config/netconf.hpp"
#include "config/shared_configuration.hpp"
#include "net/address.hpp"

namespace ipmasq::config {

/// What netconf and files say now.
struct Reading {
  cni::Json keys;   ///< of the netconf, those that are ours; like the file's, without doubles in their lists
  Netconf netconf;  ///< of the netconf alone
  std::optional<AgentFile> file = {};     ///< none where it says nothing
  std::string says_nothing = {};          ///< why that is to be told, of a file that is there
  std::optional<Netconf> with_file = {};  ///< none where the file is wrong
  std::optional<std::vector<net::Prefix>> cluster_networks = {};  ///< none where subnet.env is wrong
  std::vector<std::string> problems = {};  ///< why; each names file, line and what was expected
};

/// Reads the netconf (an object) and the files that it names, each once. Throws Error{wrong_config} for what
/// is wrong with the netconf itself.
Reading read_configuration(const cni::Json& netconf);

struct Configuration {
  Netconf netconf;
  MadeOf made_of;
  std::vector<std::string> problems = {};  ///< of files that are wrong now, and so not in force
};

/// `last_good`: of the network's record; it also stays where the file says something else by a slip, and
/// where subnet.env names no network any more of a family that pods have. Throws Error{wrong_config} with all
/// problems where something is wrong and nothing good is known instead.
SharedConfiguration in_force(Reading reading, const std::optional<MadeOf>& last_good,
                             const HasPods& has_pods);

}  // namespace ipmasq::config
