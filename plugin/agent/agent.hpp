// The plugin as a daemon: the rules of running pods follow what operators change, and mend what others broke.
#pragma once

#include <filesystem>
#include <optional>

#include "plugin/agent/chores.hpp"
#include "plugin/agent/listener.hpp"

namespace ipmasq::plugin {

struct AgentDuties {
  ChoreDuties chores = {};
  std::optional<ListenAddress> listen = {};  ///< answers /healthz, /livez and /metrics there
};

/// Makes a pass (see sync_pass.hpp) at once, on each change of the networks' configuration files and of
/// nftables, where legacy iptables' rules are not as the last pass left them (its table's size is asked for
/// each second, its rules as often as 0.5% of a core allows), on SIGHUP, and every resyncInterval; until
/// SIGTERM or SIGINT, which leave the rules in place. A pass that fails is tried again, after 1 s at first
/// and a minute at last. What is looked after beside the
/// rules follows each pass that is not made for rules alone, and holds up none.
///
/// Lines on the descriptor `log`: "WHAT: network NAME: RULE (WHY)", where WHAT is "configured" for what
/// follows the configuration and "mended" for what somebody else had changed; and what could not be done,
/// once until it is gone. Of more than ten of a kind the first ten. Throws Error where another agent runs on
/// this state.
void run_agent(const std::filesystem::path& state_dir, const AgentDuties& duties, int log);

}  // namespace ipmasq::plugin
