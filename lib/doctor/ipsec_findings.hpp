// What doctor finds of IPsec's policies that take pods' packets.
#pragma once

#include "doctor/findings.hpp"

namespace ipmasq::doctor {

/// Appends them.
void find_ipsec_findings(const Facts& facts, Findings& findings);

}  // namespace ipmasq::doctor
