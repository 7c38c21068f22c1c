// What doctor finds of a folder of lists that has no network for pods.
#pragma once

#include <string>

#include "doctor/facts.hpp"
#include "doctor/findings.hpp"

namespace ipmasq::doctor {

/// Whether it is known that nothing there is a list, nor is to be one.
bool has_no_list(const Facts& facts);

void find_no_network(const Facts& facts, Findings& findings);

/// Why it cannot be told what pods get, although the folder could be read; empty where it can.
std::string why_lists_are_not_told(const Facts& facts);

}  // namespace ipmasq::doctor
