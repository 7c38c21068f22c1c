// What on a node hides pods, or can undo an exemption.
#pragma once

#include <string>
#include <vector>

#include "doctor/facts.hpp"

namespace ipmasq::doctor {

enum class Weight {
  hurts,  ///< hides or loses a pod's packets now, or will with the next pod or change
  held,   ///< would, but our rules hold against it
  note,   ///< worth to know
};

/// "hurts", "held", "note".
std::string to_text(Weight weight);

struct Finding {
  std::string name;                ///< stable, as conf/guides/doctor.md lists it
  std::vector<std::string> where;  ///< rules, files, settings: what was found, a line each
  std::string does;                ///< to pods
  std::vector<std::string> fix;  ///< lines for a shell, never empty: commands, and "# " before what is to be
                                 ///< done by hand or thought of first
  Weight weight = Weight::hurts;

  bool operator==(const Finding&) const = default;
};

using Findings = std::vector<Finding>;

/// What hurts first, each weight in the order in which one would mend them; none where all is well.
Findings examine(const Facts& facts);

enum class Health { well, hurt, not_known };

/// How the node is, and the same in one line.
Health health_of(const Findings& findings, const std::vector<std::string>& not_looked);
std::string summary(const Findings& findings, const std::vector<std::string>& not_looked);

}  // namespace ipmasq::doctor
