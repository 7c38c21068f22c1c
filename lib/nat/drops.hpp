// Where others drop what pods send, or what comes back to them.
#pragma once

#include <optional>
#include <vector>

#include "nat/flow.hpp"
#include "nat/foreign_rule.hpp"

namespace ipmasq::nat {

struct Drop {
  ForeignChain base;                     ///< that the packet had come to
  std::optional<ForeignRule> rule = {};  ///< none: the chain's policy
  bool is_certain = false;               ///< else it may be so: what cannot be told here decides

  bool operator==(const Drop&) const = default;
};

/// All that drops the packets of a flow, or may, in the order in which they meet it: each is followed as if
/// it had come past the others. What kube-proxy refuses for a service, which has an address of its own, is
/// none.
std::vector<Drop> drops(const Foreign& foreign, const Flow& flow);

}  // namespace ipmasq::nat
