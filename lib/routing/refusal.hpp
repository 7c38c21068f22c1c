// Why this node leads packets of pods, or the answers to them, nowhere.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "net/address.hpp"
#include "routing/decision.hpp"
#include "routing/kinds.hpp"
#include "routing/policy_rules.hpp"

namespace ipmasq::routing {

/// A route of type blackhole, unreachable, prohibit or throw that somebody made, or of type local: this node
/// takes for itself what it leads to.
struct RefusingRoute {
  net::Prefix destination;
  std::string type;
  std::uint32_t table = 0;
  std::uint32_t nexthop = 0;  ///< the object that it leads by (ip-nexthop(8)); 0: none

  bool is_local() const { return type == "local"; }

  bool operator==(const RefusingRoute&) const = default;
};

struct Refusal {
  std::string by = {};  ///< "ip rule 100: from 10.244.1.0/24 prohibit", "ip route: blackhole 10.9.9.9/32",
                        ///< "ip address: 10.244.1.5/32 dev lo"; empty: no route leads there
  std::string removal = {};                 ///< the command that takes that away; empty where none can
  std::vector<net::Prefix> about = {};      ///< its source and destination, where it names them
  std::optional<RefusingRoute> route = {};  ///< where that is a route
  std::string protocol = {};                ///< "TCP", "UDP": of this one alone
  bool is_certain = true;   ///< else some packets alone: marks, protocols, ports or types of service decide;
                            ///< or the kernel takes no such question
  bool is_by_mark = false;  ///< a rule that asks for a mark

  bool operator==(const Refusal&) const = default;
};

/// Where packets are led, and by what.
struct Lead {
  std::set<std::string> interfaces;  ///< one for each next hop
  std::string by;           ///< "ip route: 0.0.0.0/0 dev eth1 table 77 (ip rule 100: from all iif eth1 lookup
                            ///< 77)"; empty: not to be told
  std::string removal;      ///< the command that takes the route away; empty where none can
  std::uint32_t table = 0;  ///< that has the route
  net::Prefix destination;  ///< of the route
  bool is_on_link = false;  ///< the route has no gateway

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

  /// The bits of marks that any rule asks for.
  std::uint32_t mark_bits() const;

  /// What rules name: all their sources and destinations, and whether any asks for packets from an interface.
  std::vector<net::Prefix> named_by_rules() const;
  bool names_interface(const std::string& in_interface) const;

  /// Each thing that refuses them once; none where they are led on. Nothing is said of an interface that
  /// takes nothing to forward. Throws Error{failed}.
  std::vector<Refusal> refusals_of(const Asked& asked) const;

  /// What rules that refuse packets are for: their destinations and sources, but all.
  std::vector<net::Prefix> refused_by_rules() const;

  /// Whether rules tell more kinds of these packets apart than are asked about.
  bool tells_more_apart(const Asked& asked) const;

  /// The names of the interfaces by which they leave: of each protocol, one for each next hop, where that is
  /// the same whatever their mark. Throws Error{failed}.
  std::set<std::string> interfaces_of(const Asked& asked) const;

  /// The same, and what leads them there; nullopt where nothing does.
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

/// Of all tables, those that somebody made. Throws Error{failed}.
std::vector<RefusingRoute> refusing_routes(net::Family family);

}  // namespace ipmasq::routing
