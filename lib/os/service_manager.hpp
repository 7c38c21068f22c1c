// What systemd wants to be told by a service of Type=notify.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace ipmasq::os {

/// Sends a state such as "READY=1" to the socket that $NOTIFY_SOCKET names (sd_notify(3)). Nothing where it
/// is not set, or nobody listens.
void tell_service_manager(const std::string& state);

/// How often the service manager is to be told "WATCHDOG=1" by this process, which it else takes for one that
/// hangs: half of what $WATCHDOG_USEC says (sd_watchdog_enabled(3)). nullopt where it does not ask for that.
std::optional<std::chrono::microseconds> watchdog_interval();

}  // namespace ipmasq::os
