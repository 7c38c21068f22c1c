#include "doctor/conflist_findings.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "conflist/entry.hpp"
#include "conflist/folder.hpp"
#include "conflist/subnet_files.hpp"
#include "doctor/install_fix.hpp"
#include "doctor/list_of_pods.hpp"
#include "doctor/program_findings.hpp"
#include "doctor/runtime_findings.hpp"
#include "doctor/start_findings.hpp"

namespace ipmasq::doctor {

namespace {

using Lists = std::vector<conflist::Network>;

std::string beginning_of(const std::vector<std::string>& items) {
  constexpr std::size_t most_told = 3;
  std::string text;
  for (std::size_t index = 0; index < std::min(items.size(), most_told); ++index)
    text += (text.empty() ? "" : ", ") + items[index];
  return text + (items.size() > most_told ? ", ..." : "");
}

bool has_ended(const Facts& facts, const Attachment& attachment) {
  return std::ranges::find(facts.node.cached_results, attachment.cache_name) ==
         facts.node.cached_results.end();
}

// Whether no pod that is recorded of the network lives, as far as the runtime's cache knows.
bool have_all_ended(const Facts& facts, const Network& network) {
  return facts.node.has_cache && !network.attachments.empty() &&
         std::ranges::all_of(network.attachments,
                             [&facts](const auto& attachment) { return has_ended(facts, attachment); });
}

// Whether it may have our entry; of a file that is cut off, or could not be read, nobody can tell.
bool may_be_ours(const conflist::Network& list) {
  using conflist::Loading;
  return list.our_place().has_value() || list.loading == Loading::unknown ||
         (list.loading == Loading::refused && list.plugins.empty());
}

// Whether it is known that no list has our entry.
bool is_without_entry(const Facts& facts, const ListOfPods& of_pods) {
  const auto& lists = facts.node.lists;
  return !lists.empty() && !of_pods.network.our_place() && of_pods.elsewhere.empty() &&
         std::ranges::none_of(lists, may_be_ours);
}

// Their runtime tells of no pod's end then.
void find_records_of_ended_pods(const Facts& facts, Findings& findings) {
  const auto of_pods = list_of_pods(facts);
  if (!is_without_entry(facts, of_pods)) return;
  Finding finding{
      "records-of-ended-pods",
      {},
      "no list has an entry of ip-masq, so nobody tells of the end of these pods, which the runtime's cache "
      "does not know any more: their rules stay, and new pods in their pod subnets get them",
      {"# where none of this node's pods needs them, this takes all rules and records away:",
       "ip-masq uninstall --rules"}};
  for (const auto& network : facts.ours.networks) {
    if (!have_all_ended(facts, network)) continue;
    for (const auto& attachment : network.attachments)
      finding.where.push_back("network " + network.name + ": " + attachment.text);
  }
  if (finding.where.empty()) return;
  if (of_pods.file != nullptr && record_of(facts, of_pods.network) != nullptr) {
    finding.fix.emplace_back("# where ip-masq is to stay:");
    finding.fix.push_back(install_fix(facts, of_pods.network));
  }
  findings.push_back(std::move(finding));
}

// A list that has our entry and is not what pods get.
struct ListsOfOurs {
  const conflist::Network* loaded = nullptr;
  const conflist::Network* unloaded = nullptr;
};

ListsOfOurs lists_of_ours(const Lists& lists) {
  const auto unloaded = std::ranges::find_if(
      lists, [](const auto& each) { return !each.is_loaded() && each.our_place().has_value(); });
  return {.loaded = conflist::first_with(lists, conflist::our_type),
          .unloaded = unloaded == lists.end() ? nullptr : &*unloaded};
}

bool comes_later(const Facts& facts, const ListOfPods& of_pods, const conflist::Network& list) {
  return !of_pods.is_copy && facts.node.taking.network.empty() && of_pods.file->file.name < list.file.name;
}

// By max_conf_num of containerd.
bool is_got_as_well(const Facts& facts, const ListOfPods& of_pods, const conflist::Network& list) {
  return comes_later(facts, of_pods, list) && !facts.node.taking.is_podmans &&
         conflist::is_taken_as_well(facts.node.lists, list, facts.node.taking.lists);
}

void append_where_it_stands(const Facts& facts, const ListOfPods& of_pods, const ListsOfOurs& ours,
                            Finding& finding) {
  if (ours.loaded != nullptr) {
    finding.where.push_back(path_of(facts, *ours.loaded) + " has one" +
                            (comes_later(facts, of_pods, *ours.loaded) ? ", and comes later" : ""));
    if (taken_instead_of(*ours.loaded, facts.node) != nullptr)
      finding.where.back() += ", and CRI-O passes over it: it misses a program that the list asks for";
    if (is_got_as_well(facts, of_pods, *ours.loaded))
      finding.where.back() += "; pods get both, as " + facts.node.taking.lists.said_by + " says";
  } else if (ours.unloaded != nullptr) {
    finding.where.push_back(path_of(facts, *ours.unloaded) +
                            " has one, and is not loaded: " + ours.unloaded->reason);
  }
}

// Those of lists that are gone, with the list that was made of a single plugin.
std::vector<std::string> backups_of_lists_gone(const Facts& facts) {
  if (!is_folder_of_pods(facts)) return {};
  const auto is_there = [&facts](const auto& name) {
    return std::ranges::any_of(facts.node.lists,
                               [&name](const auto& list) { return list.file.name == name; });
  };
  std::vector<std::string> names;
  std::ranges::copy_if(facts.node.backups, std::back_inserter(names), [&](const auto& name) {
    return !facts.node.put_aside.contains(name) && !is_there(name) &&
           std::ranges::none_of(conflist::list_names_of(name), is_there);
  });
  return names;
}

// So that pods get the list that has our entry.
std::string how_ours_is_taken(const Facts& facts, const conflist::Network& ours) {
  if (taken_instead_of(ours, facts.node) != nullptr) return "# bring the program that it misses; or:";
  const auto& taking = facts.node.taking;
  return taking.network.empty()
             ? "# of the two files, let the one that pods are to use come first by its name; or:"
             : "# let CRI-O name the list that pods are to use, " + taking.network_said_by + "; or:";
}

void append_fix(const Facts& facts, const ListOfPods& of_pods, const ListsOfOurs& ours, Finding& finding) {
  const bool is_elsewhere = ours.loaded != nullptr;
  if (!of_pods.is_copy) {
    if (is_elsewhere) finding.fix.push_back(how_ours_is_taken(facts, *ours.loaded));
    const bool is_the_one_anew = of_pods.network.holds(conflist::flannel_type);
    const auto gone =
        is_elsewhere || is_the_one_anew ? std::vector<std::string>() : backups_of_lists_gone(facts);
    for (const auto& name : gone) {
      finding.fix.push_back("# have its owner bring " + (facts.node.conf_dir / name).string() +
                            " anew, as flannel's pod does when it starts");
    }
    const auto install = install_fix(facts, of_pods.network);
    const auto words = install.starts_with("# ") ? install.substr(2) : install;
    return finding.fix.push_back(gone.empty() ? install : "# or, where this list is meant: " + words);
  }
  if (!is_elsewhere) finding.fix.push_back(install_fix(facts, of_pods.network));
  finding.fix.emplace_back(
      "# restart multus' pod of this node: where it makes that file itself (--multus-conf-file=auto) it "
      "reads the list "
      "again when it starts; where you have written it, put the entry behind the other plugins there");
}

void append_led_elsewhere(const ListOfPods& of_pods, Findings& findings) {
  findings.push_back(
      {"pods-led-elsewhere",
       {of_pods.told + " is what the runtime loads: multus hands pods on to " + of_pods.elsewhere},
       "whether that list has an entry of ip-masq was not looked at",
       {"# see that the entry stands there, behind the other plugins"},
       Weight::note});
}

bool has_our_program(const BinFolder& folder) {
  return folder.programs.contains(std::string(conflist::our_type)) && !folder.has_anothers;
}

// What install left, by which it is known that somebody wanted the entry in this list, or in one that is
// gone.
struct Signs {
  std::vector<std::string> backups;   ///< as they are told
  std::vector<std::string> programs;  ///< paths; they alone say so of flannel's list

  bool are_there() const { return !backups.empty() || !programs.empty(); }
};

Signs signs_of_install(const Facts& facts, const ListOfPods& of_pods) {
  Signs signs;
  const auto& name = of_pods.file->file.name;
  if (facts.node.backups.contains(name)) {
    signs.backups.push_back((facts.node.conf_dir / conflist::backup_of(name)).string() +
                            " is of ip-masq install: the file was written anew since");
  }
  for (const auto& gone : backups_of_lists_gone(facts)) {
    signs.backups.push_back((facts.node.conf_dir / conflist::backup_of(gone)).string() +
                            " is of ip-masq install: its list is gone");
  }
  if (!of_pods.network.holds(conflist::flannel_type)) return signs;
  for (const auto* const folder : folders_for(facts, of_pods.network)) {
    if (has_our_program(*folder)) signs.programs.push_back((folder->path / conflist::our_type).string());
  }
  return signs;
}

// The program alone is also what uninstall leaves.
void append_signs(const Signs& signs, Finding& finding) {
  finding.where.insert(finding.where.end(), signs.backups.begin(), signs.backups.end());
  for (const auto& program : signs.programs) {
    finding.where.push_back(program + " is there, and no list asks for it");
    if (!signs.backups.empty()) continue;
    finding.fix.push_back("# or, where ip-masq is given up, once no pod needs it for its end: rm " +
                          nat::shell_word(program));
  }
}

// Nothing where no list is ours, nor was, nor is flannel's: nobody asks for us there.
void find_missing_entry(const Facts& facts, Findings& findings) {
  const auto of_pods = list_of_pods(facts);
  if (of_pods.file == nullptr || of_pods.network.our_place()) return;
  const auto ours = lists_of_ours(facts.node.lists);
  if (!of_pods.elsewhere.empty()) {
    if (of_pods.is_missing) return;  // a finding of its own
    if (ours.loaded != nullptr || !facts.ours.networks.empty()) append_led_elsewhere(of_pods, findings);
    return;
  }
  const auto* const recorded = record_of(facts, of_pods.network);
  const bool is_nowhere = ours.loaded == nullptr && ours.unloaded == nullptr;
  const bool is_said_by_nothing_else = is_nowhere && recorded == nullptr;
  const auto signs = is_said_by_nothing_else ? signs_of_install(facts, of_pods) : Signs();
  const bool is_asked_for = recorded != nullptr || signs.are_there();
  if (is_nowhere && !is_asked_for && !of_pods.network.holds(conflist::flannel_type)) return;
  if (recorded != nullptr && is_without_entry(facts, of_pods) && have_all_ended(facts, *recorded)) return;
  Finding finding{
      "entry-missing",
      {of_pods.told + ", and has no entry of ip-masq"},
      recorded == nullptr
          ? "new pods of this node have no rules of ours: others' decide"
          : "new pods of this node are not recorded: they have rules of ours for as long as pods that are "
            "recorded have them, then others' decide",
      {}};
  if (ours.loaded != nullptr && is_got_as_well(facts, of_pods, *ours.loaded)) {
    finding.does = "of the addresses that pods have by that list others' rules decide";
    if (recorded == nullptr && !of_pods.network.holds(conflist::flannel_type)) finding.weight = Weight::note;
  }
  append_where_it_stands(facts, of_pods, ours, finding);
  append_fix(facts, of_pods, ours, finding);
  append_signs(signs, finding);
  if (is_nowhere && !signs.are_there() && facts.ours.networks.empty())
    finding.weight = Weight::note;  // nobody said yet that it is to be there
  findings.push_back(std::move(finding));
}

// Of a list that came after install, or was changed since.
void find_other_subnet_files(const Facts& facts, Findings& findings) {
  Finding finding{
      "subnet-file-differs",
      {},
      "flannel's networks are not exempt by themselves: pods of other nodes see this node's address where no "
      "list keeps them",
      {"# write flannel's \"subnetFile\" into the entry of ip-masq: it is in force from the next pod's ADD "
       "on"},
      Weight::note};
  for (const auto& list : facts.node.lists) {
    const auto files = list.is_loaded() ? conflist::subnet_files_of(list) : std::nullopt;
    if (!files || files->are_same()) continue;
    finding.where.push_back(path_of(facts, list) + ": flannel's plugin reads its networks from " +
                            files->flannels.string() + ", ip-masq's entry from " + files->ours.string());
  }
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

// Of an entry that somebody wrote before there were policies.
void find_annotations_not_asked_for(const Facts& facts, Findings& findings) {
  Finding finding{
      "annotations-not-asked-for",
      {},
      "the runtime tells no annotations of pods: one that asks for a policy has what it would have without "
      "asking, and nobody knows that it asks",
      {"# write " + std::string(conflist::declared_capabilities) +
       " into the entry of ip-masq: pods that start from then on can ask"},
      Weight::note};
  for (const auto& list : facts.node.lists) {
    const auto place = list.is_loaded() ? list.our_place() : std::nullopt;
    if (!place || conflist::asks_for_annotations(list.plugins.at(*place))) continue;
    for (const auto& policy : facts.ours.asked_for_policies) {
      if (policy.network != list.name) continue;
      finding.where.push_back(path_of(facts, list) + " asks for none, and policy " + policy.name +
                              " has annotated: " + beginning_of(policy.annotated));
    }
  }
  if (!finding.where.empty()) findings.push_back(std::move(finding));
}

// After an uninstall by somebody's hand, or one of a folder alone.
void find_entries_of_other_revisions(const Facts& facts, Findings& findings) {
  const auto has_entry = [](const conflist::Network& list) { return list.our_place().has_value(); };
  if (!facts.node.are_lists_read || std::ranges::any_of(facts.node.lists, may_be_ours)) return;
  for (const auto& revision : facts.node.revisions) {
    const auto list = std::ranges::find_if(revision.lists, has_entry);
    if (list == revision.lists.end()) continue;
    findings.push_back({"entry-of-other-revision",
                        {(revision.conf_dir / list->file.name).string() +
                         " has an entry of ip-masq, and no list of the revision that runs"},
                        "it is in force again once \"snap revert\" goes back to that revision",
                        {"# where ip-masq is given up:",
                         "ip-masq uninstall --conf-dir " + nat::shell_word(revision.conf_dir.string())},
                        Weight::note});
  }
}

void find_other_folders(const Facts& facts, Findings& findings) {
  if (facts.node.elsewhere.empty()) return;
  findings.push_back(
      {"other-folders",
       facts.node.elsewhere,
       "what doctor says of conflists and of the program is of folders that the runtime does not use",
       {"ip-masq doctor --flavour auto"},
       Weight::note});
}

}  // namespace

void find_conflist_findings(const Facts& facts, Findings& findings) {
  find_other_folders(facts, findings);
  find_start_findings(facts, findings);
  find_missing_entry(facts, findings);
  find_runtime_findings(facts, findings);
  find_other_subnet_files(facts, findings);
  find_annotations_not_asked_for(facts, findings);
  find_entries_of_other_revisions(facts, findings);
  find_records_of_ended_pods(facts, findings);
}

}  // namespace ipmasq::doctor
