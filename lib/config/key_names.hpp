// The names of all keys that an operator can write.
#pragma once

#include <array>
#include <string_view>

namespace ipmasq::config {

struct KeyName {
  std::string_view name;
  bool in_agent_file = false;  ///< also in the file of ip-masq-agent, not in the netconf alone
};

/// In the order in which README tells them.
inline constexpr std::array<KeyName, 19> key_names{{{"nonMasqueradeCIDRs", true},
                                                    {"masqueradeCIDRs", true},
                                                    {"catchAll", true},
                                                    {"nonMasqueradeReserved", true},
                                                    {"masqLinkLocal", true},
                                                    {"masqLinkLocalIPv6", true},
                                                    {"cidrLimit", true},
                                                    {"randomFully", true},
                                                    {"toPorts", true},
                                                    {"snatTo", true},
                                                    {"exemption", true},
                                                    {"yieldMarks"},
                                                    {"podSubnets"},
                                                    {"subnetFile"},
                                                    {"configFile"},
                                                    {"backend"},
                                                    {"stateDir"},
                                                    {"resyncInterval", true},
                                                    {"lockTimeout"}}};

}  // namespace ipmasq::config
