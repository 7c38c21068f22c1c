// The programs that a list with our entry asks for.
#pragma once

#include <vector>

#include "doctor/facts.hpp"
#include "doctor/findings.hpp"

namespace ipmasq::doctor {

void find_program_findings(const Facts& facts, Findings& findings);

/// Where the runtime may look for the list's programs: where it searches; or else, where that is not known,
/// those of the usual folders that have all of its other programs, or the one that has most of them.
std::vector<const BinFolder*> folders_for(const Facts& facts, const conflist::Network& list);

/// Why it cannot be told whether the list's programs are there; empty where it can.
std::vector<std::string> why_programs_are_not_told(const Facts& facts);

}  // namespace ipmasq::doctor
