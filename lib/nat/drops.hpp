// Where others drop what pods send, or what comes back to them.
#pragma once

#include <optional>
#include <vector>

#include "nat/flow.hpp"
#include "nat/foreign_rule.hpp"

namespace ipmasq::nat {

struct Drop {
  ForeignChain base;                     ///< that the packet had come to
  std::optional<ForeignRule> rule = {};  ///< none: the chain's policy. One that keeps answers out of
                                         ///< tracking, or in another zone, has them dropped
  bool is_certain = false;               ///< else it may be so: what cannot be told here decides

  bool operator==(const Drop&) const = default;
};

/// All that drops the packets of a flow, or may, in the order in which they meet it: each is followed as if
/// it had come past the others. What kube-proxy refuses for a service, which has an address of its own, is
/// none. Of TCP, what is sent once a connection was answered as well. Of new connections that are translated,
/// what loses the answers to them as well: what keeps these out of connection tracking, or in another zone;
/// and of any, a zone for answers alone that these are not in.
std::vector<Drop> drops(const Foreign& foreign, const Flow& flow);

}  // namespace ipmasq::nat
