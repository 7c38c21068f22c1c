// Why this node leads packets of pods, or the answers to them, nowhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/address.hpp"
#include "routing/decision.hpp"
#include "routing/kinds.hpp"
#include "routing/policy_rules.hpp"

namespace ipmasq::routing {

/// A route of type blackhole, unreachable or prohibit that somebody made.
struct RefusingRoute {
  net::Prefix destination;
  std::string type;
  std::uint32_t table = 0;

  bool operator==(const RefusingRoute&) const = default;
};

struct Refusal {
  std::string by = {};  ///< "ip rule 100: from 10.244.1.0/24 prohibit", "ip route: blackhole 10.9.9.9/32";
                        ///< empty: no route leads there
  std::string removal = {};                 ///< the command that takes that away; empty where none can
  std::vector<net::Prefix> about = {};      ///< its source and destination, where it names them
  std::optional<RefusingRoute> route = {};  ///< where that is a route
  std::string protocol = {};                ///< "TCP", "UDP": of this one alone
  bool is_certain = true;  ///< else some packets alone: marks, protocols, ports or types of service decide

  bool operator==(const Refusal&) const = default;
};

/// Where packets are led, and by what.
struct Lead {
  std::string interface;
  std::string by;           ///< "ip route: 0.0.0.0/0 dev eth1 table 77 (ip rule 100: from all iif eth1 lookup
                            ///< 77)"; empty: not to be told
  std::string removal;      ///< the command that takes the route away; empty where none can
  std::uint32_t table = 0;  ///< that has the route
  net::Prefix destination;  ///< of the route

  bool operator==(const Lead&) const = default;
};

/// "no route leads there", or what refuses it, and for which protocol alone.
std::string to_text(const Refusal& refusal);

/// Where packets of one family are led that are to be forwarded, or that this node sends: as the kernel says,
/// by the rules and routes that stood when this was made.
class PolicyRouting {
 public:
  /// Throws Error{failed}.
  explicit PolicyRouting(net::Family family);

  /// Whether any rule asks for a mark.
  bool asks_for_marks() const;

  /// Each thing that refuses them once; none where they are led on. Nothing is said of an interface that
  /// takes nothing to forward. Throws Error{failed}.
  std::vector<Refusal> refusals_of(const Asked& asked) const;

  /// What rules that refuse packets are for: their destinations and sources, but all.
  std::vector<net::Prefix> refused_by_rules() const;

  /// Whether rules tell more kinds of these packets apart than are asked about.
  bool tells_more_apart(const Asked& asked) const;

  /// The name of the interface by which they leave; nullopt where no single one does for ordinary ports,
  /// whatever their mark. Throws Error{failed}.
  std::optional<std::string> interface_of(const Asked& asked) const;

  /// The same, and what leads them there.
  std::optional<Lead> lead_of(const Asked& asked) const;

 private:
  std::optional<Refusal> refusal_of(const Packet& packet) const;
  const Tables& tables() const;

  net::Family family_;
  std::vector<PolicyRule> rules_;
  mutable std::optional<Tables> tables_;  // read when they are asked for first: there can be a million
};

/// Whether packets of this node itself have a way to an address, or it is the node's own. Throws
/// Error{failed}.
bool has_way_to(const net::Address& destination);

/// Of all tables. Throws Error{failed}.
std::vector<RefusingRoute> refusing_routes(net::Family family);

}  // namespace ipmasq::routing
