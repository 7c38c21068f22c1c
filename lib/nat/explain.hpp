// What a ruleset does to a connection, and which key of the configuration says so.
#pragma once

#include <optional>
#include <string>

#include "nat/ruleset.hpp"
#include "net/address.hpp"

namespace ipmasq::nat {

enum class Fate {
  kept,  ///< the destination sees the pod's own address
  masqueraded,
  left_alone,  ///< ip-masq has no rule for it: the node's other rules decide
};

struct Explanation {
  Fate fate = Fate::left_alone;
  std::string why;                         ///< the key, or what else decides
  std::optional<PodSubnet> pod_subnet;     ///< that holds the source
  std::optional<net::Prefix> destination;  ///< the entry that decides; none for the catch-all
};

/// Both addresses of one family. Packets that carry a yield mark or were redirected (DNAT) are not asked
/// about.
Explanation explain(const Ruleset& ruleset, const net::Address& source, const net::Address& destination);

/// Whether every address of a network (of the pod subnet's family) sees the pods' own addresses.
bool keeps_all(const PodSubnet& subnet, const net::Prefix& network);

}  // namespace ipmasq::nat
