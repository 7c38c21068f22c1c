// What on a node hides pods, or can undo an exemption.
#pragma once

#include <string>
#include <vector>

#include "doctor/facts.hpp"

namespace ipmasq::doctor {

enum class Weight {
  hurts,  ///< hides or loses a pod's packets now, or will with the next change
  note,   ///< worth to know
};

struct Finding {
  std::string name;                ///< stable, as README lists it
  std::vector<std::string> where;  ///< rules, files, settings: what was found, a line each
  std::string does;                ///< to pods
  std::vector<std::string> fix;    ///< commands and files, a line each, never empty
  Weight weight = Weight::hurts;

  bool operator==(const Finding&) const = default;
};

/// In the order in which one would mend them; none where all is well.
std::vector<Finding> examine(const Facts& facts);

}  // namespace ipmasq::doctor
