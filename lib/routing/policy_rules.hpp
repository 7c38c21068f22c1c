// Rules of policy routing: ip-rule(8), linux/fib_rules.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/address.hpp"

namespace ipmasq::routing {

/// What rules ask of a packet. An ordinary one has no mark, and no type of service.
struct Packet {
  net::Address source;  ///< unspecified: chosen by the route
  net::Address destination;
  std::string in_interface = {};  ///< empty: this node itself sends it
  std::uint32_t mark = 0;
  std::uint8_t protocol = 0;  ///< 0: whatever; rules that ask for one do not hold
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint8_t tos = 0;

  bool operator==(const Packet&) const = default;
};

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;

  bool operator==(const PortRange&) const = default;
};

struct PolicyRule {
  std::uint32_t priority = 0;
  int action = 0;             ///< FR_ACT_TO_TBL, FR_ACT_PROHIBIT, ...
  std::uint32_t table = 0;    ///< that it leads to
  std::uint32_t jump_to = 0;  ///< of FR_ACT_GOTO: a priority
  std::optional<net::Prefix> source = {};
  std::optional<net::Prefix> destination = {};
  std::string in_interface = {};
  std::uint32_t mark = 0;
  std::uint32_t mark_mask = 0;  ///< 0: whatever mark
  std::uint8_t protocol = 0;    ///< 0: any
  std::optional<PortRange> source_ports = {};
  std::optional<PortRange> destination_ports = {};
  std::uint8_t tos = 0;  ///< 0: any
  /// Asks for what no forwarded packet has: a way out, a user, a tunnel; or for a VRF.
  bool is_for_others = false;
  bool is_inverted = false;
  int suppressed_length = -1;  ///< destinations of such a length, or shorter, count as not found

  /// Whether it asks for more than addresses and the interface that a packet came in by.
  bool asks_for_kind() const;
  bool holds(const Packet& packet) const;

  bool operator==(const PolicyRule&) const = default;
};

/// As ip-rule(8) takes it, without its priority, table and action: "not from all fwmark 0x1/0xff to
/// 10.9.9.9/32 iif cni0".
std::string to_text(const PolicyRule& rule);

/// In the kernel's order. Throws Error{failed}.
std::vector<PolicyRule> policy_rules(net::Family family);

}  // namespace ipmasq::routing
