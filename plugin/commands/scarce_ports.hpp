// Where few source ports are left for masqueraded connections.
#pragma once

#include "doctor/facts.hpp"

namespace ipmasq::plugin {

/// Fills them in, by what our rules are to be.
void count_ports(doctor::Facts& facts);

}  // namespace ipmasq::plugin
