// The plugin as a daemon: the rules of running pods follow what operators change, and mend what others broke.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <optional>

#include "net/address.hpp"
#include "plugin/agent/config_copy.hpp"
#include "plugin/commands/install.hpp"

namespace ipmasq::plugin {

struct ListenAddress {
  net::Address address;
  std::uint16_t port = 0;
};

/// What an agent looks after beside the rules.
struct AgentDuties {
  std::filesystem::path conf_dir = InstallTarget{}.conf_dir;  ///< whose conflists say which pods are ours
  std::optional<InstallTarget> keep_installed = {};  ///< puts the entry back when somebody has taken it out
  std::optional<ConfigCopy> config_copy = {};        ///< follows the file, before the pass that reads it
  std::optional<ListenAddress> listen = {};          ///< answers /healthz and /metrics there
};

/// Makes a pass (see sync_pass.hpp) at once, on each change of the networks' configuration files and of
/// nftables, when the size of a legacy nat table changed (asked for each second), on SIGHUP, and every
/// resyncInterval; until SIGTERM or SIGINT, which leave the rules in place. A pass that fails is tried again,
/// after 1 s at first and a minute at last. `log` gets a line for each change of the kernel, with what it
/// followed, and for what could not be done. Throws Error where another agent runs on this state.
void run_agent(const std::filesystem::path& state_dir, const AgentDuties& duties, std::ostream& log);

}  // namespace ipmasq::plugin
