// What everybody else on this node may do to packets: in netfilter, and at interfaces beside it.
#pragma once

#include "nat/foreign_rule.hpp"

namespace ipmasq::plugin {

/// Throws Error.
nat::Foreign foreign_of_node();

}  // namespace ipmasq::plugin
