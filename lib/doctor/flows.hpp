// The connections of our pods, as others' rules are asked about them.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "nat/contradictions.hpp"
#include "nat/flow.hpp"

namespace ipmasq::doctor {

/// What pods send on a way through a node that has these addresses.
nat::Flow flow_on(const PodWay& way, const std::set<net::Address>& node_addresses);

/// The sources and destinations, but all, that rules of others name which may mark or drop packets, by
/// themselves or by a set of nftables.
std::set<net::Prefix> named_by(const nat::Foreign& foreign);

/// Interfaces that they name, likewise; "eth+": all that begin so.
std::set<std::string> interfaces_named_by(const nat::Foreign& foreign);

/// A host of a network that none of these names, and that can be one of the world; nullopt where there is
/// none.
std::optional<net::Address> host_beside(const std::set<net::Prefix>& names, const net::Prefix& network);

/// For a person: "10.244.1.0/24, 10.244.2.5/32", the first eight and how many more.
std::string text_of(const std::vector<net::Prefix>& pods);

/// Of all networks of ours.
std::vector<net::Prefix> pod_subnets_of(const Facts& facts, net::Family family);

/// What contradicts our rules for pods of any subnet, towards whatever destination, wherever ours stand.
std::vector<nat::Contradiction> contradictions_for_all_pods(const Facts& facts);

}  // namespace ipmasq::doctor
