#include "doctor/start_findings.hpp"

#include <utility>

#include "doctor/install_fix.hpp"
#include "doctor/list_of_pods.hpp"
#include "doctor/multus_findings.hpp"
#include "doctor/no_network_findings.hpp"
#include "doctor/program_findings.hpp"

namespace ipmasq::doctor {

namespace {

void find_refused_entries(const Facts& facts, Findings& findings) {
  Finding finding{"entry-refused", {}, "an ADD fails there: no pod starts", {}};
  for (const auto& list : facts.node.lists) {
    if (!list.is_loaded() || !list.our_place()) continue;
    for (const auto& reason : conflist::why_add_would_fail(list))
      finding.where.push_back(path_of(facts, list) + ": " + reason);
  }
  finding.fix = {mend_and_try(facts)};
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

// No podman that has CNI networks, up to version 4, has libcni 1.2.
std::string why_podman_would_fail(const conflist::Network& list) {
  const std::string too_new = "1.1.0";
  if (list.cni_version != too_new || list.version_alone != too_new) return {};
  return R"("cniVersion" is "1.1.0", of which podman's libcni understands no plugin's result)";
}

// The runtime's libcni cannot be asked: that pods are recorded shows that it is not older.
void find_versions_of_newer_libcni(const Facts& facts, Findings& findings) {
  Finding finding{
      "version-of-newer-libcni",
      {},
      "with an older libcni each ADD of that list fails: no pod starts",
      {R"(# write "cniVersion": "0.4.0" beside "cniVersions" there: to a newer libcni it says nothing)"},
      Weight::note};
  const bool is_podmans = facts.node.taking.is_podmans;
  if (is_podmans)
    finding.does = "podman loads no such list, or no ADD of it works: no container of that network starts";
  for (const auto& list : facts.node.lists) {
    if (!list.is_loaded() || !list.our_place()) continue;
    auto why = conflist::why_older_libcni_would_fail(list);
    if (why.empty() && is_podmans && !(why = why_podman_would_fail(list)).empty())
      finding.fix = {R"(# write "cniVersion": "1.0.0" there)"};
    if (why.empty()) continue;
    finding.where.push_back(path_of(facts, list) + ": " + why);
    const auto* const recorded = record_of(facts, list);
    if (recorded == nullptr || recorded->attachments.empty()) finding.weight = Weight::hurts;
  }
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

void find_files_in_the_way(const Facts& facts, Findings& findings) {
  const auto* const ours = list_of_ours(facts);
  if (ours == nullptr) return;
  Finding finding{
      "file-in-the-way",
      {},
      "containerd loads no network at all where a file before ours, or before the last that it takes, is "
      "none; CRI-O and podman step over it",
      {"# mend the file, or have its owner take it away"},
      facts.node.processes.contains("containerd") ? Weight::hurts : Weight::note};
  for (const auto* const each : conflist::in_the_way(facts.node.lists, *ours, facts.node.taking.lists))
    finding.where.push_back(path_of(facts, *each) + ": " + each->reason);
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

}  // namespace

void find_start_findings(const Facts& facts, Findings& findings) {
  find_program_findings(facts, findings);
  find_no_network(facts, findings);
  find_missing_of_multus(facts, findings);
  find_refused_entries(facts, findings);
  find_versions_of_newer_libcni(facts, findings);
  find_files_in_the_way(facts, findings);
}

}  // namespace ipmasq::doctor
