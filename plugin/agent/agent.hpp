// The plugin as a daemon: the rules of running pods follow what operators change, and mend what others broke.
#pragma once

#include <cstdint>
#include <filesystem>
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
  std::optional<ConfigCopy> config_copy = {};        ///< follows the file, and makes a pass then
  std::optional<ListenAddress> listen = {};          ///< answers /healthz, /livez and /metrics there
};

/// Makes a pass (see sync_pass.hpp) at once, on each change of the networks' configuration files and of
/// nftables, where legacy iptables' rules are not as the last pass left them (its table's size is asked for
/// each second, its rules as often as 0.5% of a core allows), on SIGHUP, and every resyncInterval; until
/// SIGTERM or SIGINT, which leave the rules in place. A pass that fails is tried again, after 1 s at first
/// and a minute at last.
///
/// Lines on the descriptor `log`: "WHAT: network NAME: RULE (WHY)", where WHAT is "configured" for what
/// follows the configuration and "mended" for what somebody else had changed; and what could not be done,
/// once until it is gone. Of more than ten of a kind the first ten. Throws Error where another agent runs on
/// this state.
void run_agent(const std::filesystem::path& state_dir, const AgentDuties& duties, int log);

}  // namespace ipmasq::plugin
