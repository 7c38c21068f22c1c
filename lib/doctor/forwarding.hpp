// Whether others let through what pods send, and what comes back to them.
#pragma once

#include <string>
#include <vector>

#include "doctor/facts.hpp"

namespace ipmasq::doctor {

/// A rule, or a chain's policy, that drops packets of pods, or the answers to them.
struct ForwardDrop {
  std::string decides;      ///< "nft inet theirs base handle 7: -p 17 -j DROP", and which protocol alone
  bool is_certain = false;  ///< else it drops some, or may: ports, rates and what else cannot be told decide
  std::string fix;          ///< commands, joined by &&

  bool operator==(const ForwardDrop&) const = default;
};

/// Followed on each way of pods through the node: the first packet of a connection of TCP and of UDP and the
/// answer to it, kept and masqueraded. In the order in which packets meet them.
std::vector<ForwardDrop> forward_drops(const Facts& facts);

}  // namespace ipmasq::doctor
