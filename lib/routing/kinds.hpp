// Which kinds of packets rules of policy routing tell apart, between two addresses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "net/address.hpp"
#include "routing/policy_rules.hpp"

namespace ipmasq::routing {

/// The mark that packets have when they are routed.
struct Marks {
  std::uint32_t value = 0;
  std::uint32_t unknown = 0;  ///< bits of it that may be anything

  bool operator==(const Marks&) const = default;
};

/// Of each protocol.
struct MarksByProtocol {
  Marks tcp = {};
  Marks udp = {};

  bool operator==(const MarksByProtocol&) const = default;
};

/// Packets that are asked about.
struct Asked {
  net::Address source;  ///< unspecified: chosen by the route
  net::Address destination;
  std::string in_interface = {};  ///< empty: this node itself sends them
  MarksByProtocol marks = {};
};

struct Kinds {
  /// Of ports and types of service that no rule names: of each protocol that rules may treat apart, or that
  /// has marks of its own (TCP and UDP, or one for all), a packet for each mark that they may have.
  std::vector<std::vector<Packet>> ordinary;
  std::vector<Packet> special;  ///< one of each kind that a rule names
  bool are_all = true;          ///< else rules name more of them
};

Kinds kinds_of(const std::vector<PolicyRule>& rules, const Asked& asked);

}  // namespace ipmasq::routing
