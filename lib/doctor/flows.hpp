// The connections of our pods, as others' rules are asked about them.
#pragma once

#include <vector>

#include "doctor/facts.hpp"
#include "nat/contradictions.hpp"

namespace ipmasq::doctor {

/// Of all networks of ours.
std::vector<net::Prefix> pod_subnets_of(const Facts& facts, net::Family family);

/// What contradicts our rules for pods of any subnet, towards whatever destination, wherever ours stand.
std::vector<nat::Contradiction> contradictions_for_all_pods(const Facts& facts);

}  // namespace ipmasq::doctor
