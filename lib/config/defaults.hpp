// What holds where no netconf says another; most of its defaults are in config/netconf.hpp.
#pragma once

#include <chrono>

namespace ipmasq::config {

inline constexpr auto default_subnet_file = "/run/flannel/subnet.env";
inline constexpr auto default_config_file = "/etc/config/ip-masq-agent";
inline constexpr auto default_state_dir = "/run/cni/ip-masq";
inline constexpr std::chrono::nanoseconds default_lock_timeout = std::chrono::seconds(30);

}  // namespace ipmasq::config
