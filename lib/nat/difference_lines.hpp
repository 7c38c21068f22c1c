// A difference, told to a person.
#pragma once

#include <string>
#include <vector>

namespace ipmasq::nat {

/// "missing: X" and "not wanted: X", each in its order; what stands in both lists only moves, and is "out of
/// place".
std::vector<std::string> difference_lines(std::vector<std::string> missing,
                                          std::vector<std::string> unwanted);

}  // namespace ipmasq::nat
