// The names of all keys that an operator can write.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace ipmasq::config {

struct KeyName {
  std::string_view name;
  bool in_agent_file = false;  ///< of ip-masq-agent
  bool in_netconf = true;
};

/// In the order in which README tells them.
inline constexpr std::array<KeyName, 23> key_names{{{"nonMasqueradeCIDRs", true},
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
                                                    {"dropInvalid", true},
                                                    {"changedFlows", true},
                                                    {"policies", true},
                                                    {"podSubnets"},
                                                    {"subnetFile"},
                                                    {"configFile"},
                                                    {"backend"},
                                                    {"stateDir"},
                                                    {"resyncInterval", true},
                                                    {"lockTimeout"},
                                                    {"nodes", true, false}}};

/// ASCII letters; other bytes as they are.
bool equal_but_for_case(std::string_view left, std::string_view right);

enum class KeyHolder { netconf, agent_file };

/// The key that `text`, which is none, stands for: one written in another case, in other ways of joining
/// words, with at most two slips (a letter left out, put in, changed, or swapped with its neighbour), or
/// shortened. nullopt where none is near.
std::optional<std::string_view> meant_by(std::string_view text, KeyHolder holder);

}  // namespace ipmasq::config
