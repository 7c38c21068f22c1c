// Why this node leads packets of pods nowhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/address.hpp"

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
  std::string removal = {};                 ///< the command that takes that away; empty likewise
  std::optional<RefusingRoute> route = {};  ///< where that is a route

  bool operator==(const Refusal&) const = default;
};

/// Of packets that come from `source` by an interface and are to be forwarded. nullopt where they are led on,
/// and where that cannot be told: a rule chooses by what is not known of them (a mark, a protocol, ports),
/// nothing that refuses them is found, or the interface takes nothing to forward.
std::optional<Refusal> refusal_of(const net::Address& destination, const net::Address& source,
                                  const std::string& in_interface);

/// Whether packets of this node itself have a way to an address, or it is the node's own. Throws
/// Error{failed}.
bool has_way_to(const net::Address& destination);

/// Of all tables. Throws Error{failed}.
std::vector<RefusingRoute> refusing_routes(net::Family family);

}  // namespace ipmasq::routing
