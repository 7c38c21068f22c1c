// Whether others' filter rules let through what pods send, and what comes back to them.
#pragma once

#include <string>
#include <vector>

#include "doctor/facts.hpp"

namespace ipmasq::doctor {

/// A base chain that drops new TCP connections of pods, or the answers to them.
struct ForwardDrop {
  std::string chain;       ///< "iptables-legacy -t filter FORWARD", "nft ip filter FORWARD"
  std::string decides;     ///< its policy, or the rule
  bool is_certain = true;  ///< else some rule lets some through, and it cannot be told which
  std::string fix;         ///< commands, joined by &&
};

/// What others' marks say, and what connections' states are, is not followed: a rule that asks for a state
/// lets answers through, and no new connection.
std::vector<ForwardDrop> forward_drops(const Facts& facts, net::Family family);

}  // namespace ipmasq::doctor
