// What IPsec's policies on this node do to what pods send, and to the answers.
#pragma once

#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "nat/explain.hpp"
#include "nat/ruleset.hpp"

namespace ipmasq::plugin {

/// Of all pods on these ways. Throws Error.
std::vector<doctor::UnderIpsec> under_ipsec(const nat::Ruleset& ruleset,
                                            const std::vector<doctor::PodWay>& ways);

/// Appends a sentence for each policy that takes packets of one connection. `way` is of the pod alone, to one
/// destination. Throws Error.
void append_ipsec(const nat::Ruleset& ruleset, const doctor::PodWay& way, nat::Fate fate,
                  std::vector<std::string>& sentences);

}  // namespace ipmasq::plugin
