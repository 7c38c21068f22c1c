// Pods whose pod subnet another network of the node had before: the subnet stays the other's, and each of
// these pods leads to its own network's chain by its own address. So nobody who comes changes what others
// have.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "plugin/verbs/node.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

/// Leaves to other networks those of the pod subnets of `attachment` that these have, or that lie in theirs
/// and are none of `own`, which its network has already. Where the pod's address leads to another network
/// then, or would by a narrower one, it becomes a pod subnet itself. Returns those that were left: the
/// network shares them.
std::set<net::Prefix> leave_to_others(state::Attachment& attachment, const std::set<net::Prefix>& own,
                                      const std::set<net::Prefix>& others);

/// Networks that something is recorded of, but for `network`.
std::vector<std::string> other_networks(const state::Store& store, const std::string& network);

/// Pod subnets of other networks than `network`, by their markers.
std::set<net::Prefix> subnets_of_others(const state::Store& store, const std::string& network);
/// The same, with those of pods that may live though nothing is recorded of them, and what stands in the
/// kernel for other networks. Throws Error.
std::set<net::Prefix> subnets_of_others(const Node& node, const std::string& network);

}  // namespace ipmasq::plugin
