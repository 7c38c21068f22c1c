// Which host of a network is asked about, where the kernel is asked for its way.
#pragma once

#include <optional>
#include <vector>

#include "net/address.hpp"
#include "routing/learned_routes.hpp"

namespace ipmasq::plugin {

/// Whether routes lead on to a part of a network, beside what holds for the rest.
bool leads_to_part_of(const std::vector<routing::KernelRoute>& routes, const net::Prefix& network);

/// One of its first addresses, or of the first behind a part that routes lead on to: in no such part, and
/// none that the kernel itself takes in (an interface's own, a broadcast, an anycast). nullopt where there is
/// none such, and of what no router forwards: multicast, loopback, links' own.
std::optional<net::Address> host_of(const net::Prefix& network,
                                    const std::vector<routing::KernelRoute>& routes);

}  // namespace ipmasq::plugin
