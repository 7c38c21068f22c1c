// What systemd wants to be told by a service of Type=notify.
#pragma once

#include <string>

namespace ipmasq::os {

/// Sends a state such as "READY=1" to the socket that $NOTIFY_SOCKET names (sd_notify(3)). Nothing where it
/// is not set, or nobody listens.
void tell_service_manager(const std::string& state);

}  // namespace ipmasq::os
