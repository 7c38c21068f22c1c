#pragma once

#include <string>
#include <utility>
#include <vector>

#include "doctor/findings.hpp"

namespace ipmasq::test {

// Weights and names, with what was found and the fixes indented below.
inline std::string text_with_weights(const doctor::Facts& facts) {
  std::string all;
  for (const auto& finding : doctor::examine(facts)) {
    all += doctor::to_text(finding.weight) + " " + finding.name + "\n";
    for (const auto& place : finding.where) all += "  found: " + place + "\n";
    for (const auto& fix : finding.fix) all += "  fix: " + fix + "\n";
  }
  return all;
}

inline std::string list(const std::string& name, const std::string& type, bool has_entry) {
  return R"({"cniVersion":"1.0.0","name":")" + name + R"(","plugins":[{"type":")" + type + "\"}" +
         (has_entry ? R"(,{"type":"ip-masq"})" : "") + "]}";
}

inline doctor::Facts facts_with(std::vector<conflist::File> files) {
  doctor::Facts facts;
  facts.node.conf_dir = "/n";
  facts.node.lists = conflist::read_networks(std::move(files));
  return facts;
}

// A folder that has what is named, "-" before what cannot be run.
inline doctor::BinFolder folder(const std::string& path, const std::vector<std::string>& programs) {
  doctor::BinFolder made{.path = path, .programs = {}};
  for (const auto& each : programs)
    each.starts_with('-') ? made.programs[each.substr(1)] = "is empty" : made.programs[each] = "";
  return made;
}

}  // namespace ipmasq::test
