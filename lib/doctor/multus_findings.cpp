#include "doctor/multus_findings.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "conflist/folder.hpp"
#include "conflist/multus.hpp"
#include "doctor/list_of_pods.hpp"

namespace ipmasq::doctor {

namespace {

bool is_there(const Facts& facts, const std::string& name) {
  return std::ranges::any_of(facts.node.lists, [&name](const auto& each) { return each.file.name == name; });
}

// What install made of it, or its owner otherwise.
std::string fix_of(const Facts& facts, const conflist::NamedFile& named) {
  const auto lists = conflist::list_names_of(named.name);
  const auto* const list =
      std::ranges::find_if(lists, [&facts](const std::string& each) { return is_there(facts, each); });
  if (list != lists.end())
    return "# " + conflist::told_to_name(named, *list, facts.node.conf_dir) +
           ": that list stands instead of it";
  return "# have its owner bring the file, or mend the path under \"" + named.key + "\" of " +
         (facts.node.conf_dir / named.by).string();
}

}  // namespace

std::string why_multus_is_not_told(const Facts& facts) {
  const auto* const loaded = list_of_runtime(facts.node);
  const bool concerns_us = list_of_ours(facts) != nullptr || !facts.ours.networks.empty();
  if (loaded == nullptr || !concerns_us) return {};
  const auto led = conflist::led_by_multus(*loaded, facts.node.lists, facts.node.conf_dir);
  if (!led || led->asked_for.empty()) return {};
  return "for the list that pods get: multus takes the network " + cni::excerpt(cni::Json(led->asked_for)) +
         ", as " + path_of(facts, *loaded) +
         " says, from the API server, which is not asked here, before it looks in the folder; \"kubectl get "
         "network-attachment-definitions -A\" tells whether it has one";
}

void find_missing_of_multus(const Facts& facts, Findings& findings) {
  const auto* const loaded = list_of_runtime(facts.node);
  if (loaded == nullptr) return;
  Finding finding{"network-not-there", {}, "multus fails each ADD without that file: no pod starts", {}};
  for (const auto& named : conflist::named_by_multus(*loaded, facts.node.conf_dir)) {
    if (!conflist::is_considered(named.name) || is_there(facts, named.name)) continue;
    finding.where.push_back("there is no " + (facts.node.conf_dir / named.name).string() + ", which \"" +
                            named.key + "\" of " + path_of(facts, *loaded) + " names");
    finding.fix.push_back(fix_of(facts, named));
  }
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

}  // namespace ipmasq::doctor
