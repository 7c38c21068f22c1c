// Pods whose pod subnet another network of the node has as well: each leads to its own network's chain by its
// own address, which is a pod subnet of its record beside the one that it shares.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "plugin/verbs/node.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

/// Adds to the pod subnets of `attachment` those of its addresses that `others`, the pod subnets of other
/// networks, hold as well. Whether there were any that it lacked.
bool lead_by_own_address(state::Attachment& attachment, const std::set<net::Prefix>& others);

/// Pod subnets that `network` has to share: those of other networks, by their markers, and its own where a
/// pod has rules by its own address already.
std::set<net::Prefix> shared_subnets(const state::Store& store, const std::string& network);
/// The same, with what stands in the kernel for other networks, whatever is recorded of them. Throws Error.
std::set<net::Prefix> shared_subnets(const Node& node, const std::string& network);

/// Before `network` comes to `subnets`: the pods of other networks that these hold get rules by their own
/// address. Under the exclusive lock. What cannot be done is told, a line each, and left to `ip-masq sync`.
std::vector<std::string> lead_others_by_own_address(const Node& node, const std::string& network,
                                                    const std::set<net::Prefix>& subnets);

}  // namespace ipmasq::plugin
