// The keys of ip-masq's entry in a conflist, as values.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cni/json.hpp"
#include "config/agent_file.hpp"
#include "config/backend.hpp"
#include "config/changed_flows.hpp"
#include "config/defaults.hpp"
#include "config/mark.hpp"
#include "config/netconf_reading.hpp"
#include "config/pod_keys.hpp"
#include "config/policies.hpp"
#include "net/address.hpp"

namespace ipmasq::config {

/// The default values are those of an entry that has no key of ours, but for the lists, which parse_netconf
/// fills. The keys of pods are those of the network's own, which hold where no policy says otherwise.
struct Netconf : PodKeys {
  ChangedFlows changed_flows = ChangedFlows::udp;
  std::vector<Mark> yield_marks{{0x4000, 0x4000}, {0x2000, 0x2000}};
  std::vector<net::Prefix> pod_subnets;  ///< empty: those of prevResult
  std::filesystem::path subnet_file = default_subnet_file;
  std::filesystem::path config_file = default_config_file;
  std::optional<Backend> backend;  ///< none: "auto"
  std::filesystem::path state_dir = default_state_dir;
  std::chrono::nanoseconds resync_interval = std::chrono::seconds(60);
  std::chrono::nanoseconds lock_timeout = default_lock_timeout;
  std::vector<Policy> policies;
  std::vector<std::string> warnings;  ///< keys that are misspelt, and slips and warnings of the agent's file
};

/// Every key of ours in a netconf (an object); others are left alone. Throws Error{wrong_config} whose
/// message lists all that is wrong, each with key, value and what was expected. `file`: whose keys stand
/// instead of the netconf's; what is wrong with those is told with file and line.
Netconf parse_netconf(const cni::Json& json, const AgentFile* file = nullptr);

/// The same of a netconf that was parsed by itself: `alone` is what it says, and no key of its own is read
/// again but for lists that go together with the file's.
Netconf with_file(Netconf alone, const cni::Json& json, const AgentFile& file);

}  // namespace ipmasq::config
