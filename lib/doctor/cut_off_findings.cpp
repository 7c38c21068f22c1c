#include "doctor/cut_off_findings.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "doctor/flows.hpp"

namespace ipmasq::doctor {

void find_cut_off_pods(const Facts& facts, Findings& findings) {
  Finding finding{
      "pods-cut-off",
      {},
      "packets do not get from these pods to this node, nor to them, whatever routes and rules say",
      {}};
  // A bridge's last step is that of all its pods.
  std::map<std::string, std::vector<net::Prefix>> pods;
  for (const auto& each : facts.node.cut_off) {
    for (const auto& pod : each.pods) pods[each.why].push_back(net::host_prefix(pod));
    for (const auto& line : each.fix) {
      if (std::ranges::find(finding.fix, line) == finding.fix.end()) finding.fix.push_back(line);
    }
  }
  for (const auto& [why, named] : pods) finding.where.push_back(text_of(named) + ": " + why);
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

}  // namespace ipmasq::doctor
