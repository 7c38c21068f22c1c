// What of others' rules hurts, and what ours hold against.
#pragma once

#include "doctor/findings.hpp"

namespace ipmasq::doctor {

/// Weighs the findings about others' masquerade rules and chains by what packets of our pods meet: one that
/// hurts stays so where a rule in it decides for pods of ours, or where we have none; else ours hold.
void weigh(const Facts& facts, Findings& findings);

}  // namespace ipmasq::doctor
