// By which interfaces pods' packets come to this node, and leave it.
#pragma once

#include <vector>

#include "doctor/facts.hpp"
#include "nat/flow.hpp"
#include "nat/foreign_rule.hpp"
#include "plugin/verbs/recorded.hpp"
#include "routing/refusal.hpp"

namespace ipmasq::plugin {

/// Of all pods that are recorded, to the world and to what their lists keep, as the kernel's routes lead. A
/// subnet whose interface is not known has a way as well, without one. Throws Error.
std::vector<doctor::PodWay> pod_ways(const Recorded& recorded, const nat::Foreign& foreign);

/// What pods send on a way. Throws Error.
nat::Flow flow_on(const doctor::PodWay& way);

/// The mark that others give it, or the answers to it, before it is routed; none is looked for where no rule
/// asks for one.
routing::Marks marks_of(const nat::Flow& flow, const routing::PolicyRouting& routing,
                        const nat::Foreign& foreign);

/// An address that nobody has (RFC 5737, RFC 3849): it goes where all goes that is not known better.
net::Address nobody(net::Family family);

/// Networks of one family, 64 at most, that routes by gateways lead to and a list keeps. Throws Error.
std::vector<net::Prefix> kept_networks(const nat::Ruleset& ruleset, net::Family family);

}  // namespace ipmasq::plugin
