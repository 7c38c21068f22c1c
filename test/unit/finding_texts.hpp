#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "doctor/findings.hpp"

namespace ipmasq::test {

// Names, with what was found and the fixes indented below.
inline std::string text(const doctor::Facts& facts) {
  std::string all;
  for (const auto& finding : doctor::examine(facts)) {
    all += finding.name + "\n";
    for (const auto& place : finding.where) all += "  found: " + place + "\n";
    for (const auto& fix : finding.fix) all += "  fix: " + fix + "\n";
    CHECK_FALSE(finding.does.empty());
    CHECK_FALSE(finding.fix.empty());
  }
  return all;
}

inline const std::vector<doctor::BinFolder> with_plugins{
    {.path = "/opt/cni/bin",
     .programs = {{"flannel", ""}, {"bridge", ""}, {"host-local", ""}, {"ip-masq", ""}}}};

}  // namespace ipmasq::test
