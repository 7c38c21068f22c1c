// The programs that a list asks for.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "conflist/conflist.hpp"
#include "doctor/facts.hpp"

namespace ipmasq::doctor {

/// Of all plugins but ours, with those that they call by themselves: of ipam, and flannel's delegate.
std::set<std::string> others_of(const conflist::Network& list);

/// Those that have all of them.
std::vector<const BinFolder*> folders_with_all(const std::vector<BinFolder>& folders,
                                               const std::set<std::string>& programs);

}  // namespace ipmasq::doctor
