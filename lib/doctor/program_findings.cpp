#include "doctor/program_findings.hpp"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <utility>

#include "doctor/install_fix.hpp"
#include "doctor/list_of_pods.hpp"
#include "doctor/list_programs.hpp"
#include "doctor/program_trouble.hpp"

namespace ipmasq::doctor {

namespace {

using Programs = std::set<std::string>;
using Folders = std::vector<const BinFolder*>;

// A list, and what of its programs is looked for.
struct Asking {
  const conflist::Network& list;
  Programs programs;
  std::string does;  // what comes of it that one is missing
};

const std::string our_program(conflist::our_type);

std::size_t count_in(const BinFolder& folder, const Programs& programs) {
  return static_cast<std::size_t>(std::ranges::count_if(
      programs, [&folder](const auto& each) { return folder.programs.contains(each); }));
}

bool has(const BinFolder& folder, const std::string& program) {
  return folder.programs.contains(program);
}

bool is_in_any(const auto& folders, const std::string& program) {
  return std::ranges::any_of(folders, [&program](const auto* each) { return has(*each, program); });
}

Folders all_of(const std::vector<BinFolder>& folders) {
  Folders all;
  std::ranges::transform(folders, std::back_inserter(all), [](const auto& each) { return &each; });
  return all;
}

Folders usual_folders_for(const Facts& facts, const Programs& others) {
  const auto& all = facts.node.bin_folders;
  if (auto complete = folders_with_all(all, others); !complete.empty()) return complete;
  const auto worth = [&others](const BinFolder& each) {
    return std::pair(count_in(each, others), has(each, our_program));
  };
  const auto best = std::ranges::max_element(all, {}, worth);
  if (best == all.end() || worth(*best) == std::pair(std::size_t{0}, false)) return {};
  return {&*best};
}

std::string path_in(const Folders& folders, const std::string& program) {
  std::string text;
  for (const auto* const each : folders)
    text += (text.empty() ? "" : " or ") + (each->path / program).string();
  return text;
}

// Under that name, which is no program for libcni.
std::string what_stands_there(const Folders& folders, const std::string& program) {
  std::string text;
  for (const auto* const each : folders) {
    const auto path = (each->path / program).string();
    if (const auto found = each->no_files.find(program); found != each->no_files.end())
      text += ": " + path + " is " + found->second;
    if (const auto found = each->dead_links.find(program);
        found != each->dead_links.end() && !has(*each, program))
      text += ": " + path + " is a link to " + found->second + ", and that is not there";
  }
  return text;
}

std::string lacks(const Facts& facts, const conflist::Network& list, const Folders& folders,
                  const std::string& program) {
  return "no program " + path_in(folders, program) + ", which " + path_of(facts, list) + " asks for" +
         what_stands_there(folders, program);
}

// What comes of it that a program is missing.
std::string no_pod_starts(const Facts& facts, const conflist::Network& ours) {
  if (facts.node.taking.is_podmans)
    return "podman loads no list whose programs it does not find: no container of that network starts";
  const auto* const instead = taken_instead_of(ours, facts.node);
  return instead == nullptr
             ? "an ADD fails: no pod starts"
             : "CRI-O passes over that list: new pods get the one in " + path_of(facts, *instead);
}

std::string no_pod_starts_nor_ends(const Facts& facts, const conflist::Network& ours) {
  if (facts.node.taking.is_podmans)
    return no_pod_starts(facts, ours) + ", and nobody is told of the end of those that run";
  const bool is_passed_over = taken_instead_of(ours, facts.node) != nullptr;
  return no_pod_starts(facts, ours) +
         (is_passed_over ? ", and pods that have it cannot be ended" : ", and none can be ended");
}

Programs with_ours(Programs programs) {
  programs.insert(our_program);
  return programs;
}

// Of lists that are called for each pod beside ours: what ours does not ask for.
std::vector<Asking> asking_beside(const Facts& facts, const conflist::Network& ours) {
  std::vector<Asking> found;
  auto told = with_ours(others_of(ours));
  for (const auto* const list : called_beside(facts, ours)) {
    auto programs = others_of(*list);
    std::erase_if(programs, [&told](const auto& each) { return !told.insert(each).second; });
    const bool is_first = list == list_of_runtime(facts.node);
    const auto taken =
        is_first ? "" : "pods get that list as well, as " + facts.node.taking.lists.said_by + " says: ";
    found.push_back({*list, std::move(programs), taken + no_pod_starts(facts, *list)});
  }
  return found;
}

// Of what is neither a file nor a link: install does not take its place.
void append_move_away(const Folders& folders, Finding& finding) {
  for (const auto* const each : folders) {
    if (each->no_files.contains(our_program)) finding.fix.push_back(move_away(each->path / our_program));
  }
}

// ---- ours

void find_missing_in_search(const Facts& facts, const conflist::Network& ours, Finding finding,
                            Findings& findings) {
  const auto folders = all_of(facts.node.bin_folders);
  if (is_in_any(folders, our_program)) return;
  for (const auto* const folder : folders) finding.where.push_back(lacks(facts, ours, {folder}, our_program));
  append_move_away(folders, finding);
  finding.fix.push_back(install_fix(facts, ours));
  findings.push_back(std::move(finding));
}

void find_missing_program(const Facts& facts, const conflist::Network& ours, Findings& findings) {
  Finding finding{"program-missing", {}, no_pod_starts_nor_ends(facts, ours), {}};
  if (facts.node.is_search_known) return find_missing_in_search(facts, ours, std::move(finding), findings);
  const auto folders = folders_for(facts, ours);
  for (const auto* const folder : folders) {
    if (has(*folder, our_program)) continue;
    finding.where.push_back(lacks(facts, ours, {folder}, our_program));
    append_move_away({folder}, finding);
    finding.fix.push_back(install_into(facts, ours, *folder));
  }
  if (finding.where.empty()) return;
  if (is_in_any(folders, our_program)) {
    finding.does = "an ADD fails where this is the folder that the runtime looks for plugins in";
    finding.weight = Weight::note;
  }
  findings.push_back(std::move(finding));
}

// ---- others

// Of a folder that is named none may be where the runtime looks; or else those that it lacks may be in
// others, as of CRI-O's plugin_dirs.
void weigh_by_what_is_searched(const Facts& facts, bool is_any_there, Finding& finding) {
  if (!facts.node.is_search_known) {
    finding.does += ", unless the runtime looks for plugins in another folder";
    finding.fix.emplace_back("# where it does, say in which: ip-masq doctor --bin-dir DIR");
  } else if (facts.node.may_search_more) {
    finding.does += ", unless the runtime looks for plugins in other folders as well";
    finding.fix.emplace_back("# where it does, and they are there, nothing is wrong");
    if (is_any_there) finding.weight = Weight::note;
  }
}

void find_missing_plugins(const Facts& facts, const Asking& asking, Findings& findings) {
  Finding finding{"plugin-missing",
                  {},
                  asking.does,
                  {"# have their owners put them there: flannel's own pod brings flannel, the package or the "
                   "release of containernetworking's plugins brings bridge, host-local and portmap"}};
  const auto folders = folders_for(facts, asking.list);
  for (const auto& program : asking.programs) {
    if (folders.empty() || is_in_any(folders, program)) continue;
    finding.where.push_back(lacks(facts, asking.list, folders, program));
  }
  if (finding.where.empty()) return;
  const auto others = others_of(asking.list);
  const bool is_any_there =
      std::ranges::any_of(others, [&folders](const auto& each) { return is_in_any(folders, each); });
  weigh_by_what_is_searched(facts, is_any_there, finding);
  findings.push_back(std::move(finding));
}

// ---- those that are there

// The first of the search that has it is the one that is run.
Folders where_it_is_run(const Facts& facts, const Folders& folders, const std::string& program) {
  Folders having;
  std::ranges::copy_if(folders, std::back_inserter(having),
                       [&program](const auto* each) { return has(*each, program); });
  if (facts.node.is_search_known && having.size() > 1) having.resize(1);
  return having;
}

std::string fix_of(const Facts& facts, const conflist::Network& ours, const BinFolder& folder,
                   const std::string& program) {
  const auto path = (folder.path / program).string();
  if (folder.programs.at(program).ends_with("noexec"))
    return "# mount the file system of " + folder.path.string() +
           " so that programs run there (remount,exec)";
  if (program == our_program) return install_into(facts, ours, folder);
  return "# have its owner put it there anew: " + path;
}

// Whether there is one where all of the programs that are there may be run.
bool is_any_in_order(const Folders& folders, const Programs& programs) {
  return std::ranges::any_of(folders, [&programs](const auto* folder) {
    return std::ranges::all_of(programs, [folder](const auto& each) {
      return !has(*folder, each) || folder->programs.at(each).empty();
    });
  });
}

void find_what_cannot_run(const Facts& facts, const Asking& asking, Findings& findings) {
  Finding finding{"program-cannot-run", {}, asking.does, {}};
  const auto folders = folders_for(facts, asking.list);
  for (const auto& program : asking.programs) {
    for (const auto* const folder : where_it_is_run(facts, folders, program)) {
      const auto& trouble = folder->programs.at(program);
      if (trouble.empty()) continue;
      finding.where.push_back((folder->path / program).string() + " " + trouble + ", and " +
                              path_of(facts, asking.list) + " asks for it");
      auto fix = fix_of(facts, asking.list, *folder, program);
      if (std::ranges::find(finding.fix, fix) == finding.fix.end()) finding.fix.push_back(std::move(fix));
    }
  }
  if (finding.where.empty()) return;
  if (!facts.node.is_search_known && is_any_in_order(folders, asking.programs)) {
    finding.does = "an ADD fails where this is the folder that the runtime looks for plugins in";
    finding.weight = Weight::note;
  }
  findings.push_back(std::move(finding));
}

// Under our name: whether it can be run is told by itself.
void find_another_program(const Facts& facts, const conflist::Network& ours, Findings& findings) {
  Finding finding{
      "another-program", {}, "an ADD is not ours: pods start without our rules, or do not start", {}};
  const auto folders = folders_for(facts, ours);
  for (const auto* const folder : where_it_is_run(facts, folders, our_program)) {
    if (!folder->has_anothers || !folder->programs.at(our_program).empty()) continue;
    finding.where.push_back((folder->path / our_program).string() + " is not ip-masq's, and " +
                            path_of(facts, ours) + " asks for it");
    finding.fix.push_back(install_into(facts, ours, *folder));
  }
  if (finding.where.empty()) return;
  if (!facts.node.is_search_known && std::ranges::any_of(folders, [](const auto* each) {
        return has(*each, our_program) && !each->has_anothers;
      })) {
    finding.does = "an ADD is not ours where this is the folder that the runtime looks for plugins in";
    finding.weight = Weight::note;
  }
  findings.push_back(std::move(finding));
}

// ---- what cannot be told

// Of those that are asked for: links whose ends are not seen, and, beside the folders that are named, others
// that may have what these lack.
std::vector<std::string> what_is_not_seen(const Facts& facts, const Asking& asking) {
  std::vector<std::string> lines;
  const auto folders = folders_for(facts, asking.list);
  const auto others = others_of(asking.list);
  for (const auto& program : asking.programs) {
    const auto having = where_it_is_run(facts, folders, program);
    for (const auto* const folder : having) {
      const auto link = folder->dead_links.find(program);
      if (link == folder->dead_links.end()) continue;
      lines.push_back("whether " + (folder->path / program).string() + " can be run: it is a link to " +
                      link->second + ", which is not there, or not seen here");
    }
    if (!having.empty() || !facts.node.may_search_more || program == our_program) continue;
    if (std::ranges::none_of(others, [&folders](const auto& each) { return is_in_any(folders, each); }))
      continue;  // the runtime does not look there at all, or all are missing: a finding
    lines.push_back("whether the runtime finds " + program + " in another folder: it is not in " +
                    path_in(folders, program) + ", which " + path_of(facts, asking.list) +
                    " asks for; --bin-dir, given once for each folder where the runtime looks, tells");
  }
  return lines;
}

}  // namespace

Folders folders_for(const Facts& facts, const conflist::Network& list) {
  return facts.node.is_search_known ? all_of(facts.node.bin_folders)
                                    : usual_folders_for(facts, others_of(list));
}

std::vector<std::string> why_programs_are_not_told(const Facts& facts) {
  const auto* const ours = list_of_ours(facts);
  if (ours == nullptr) return {};
  if (!folders_for(facts, *ours).empty()) {
    auto lines = what_is_not_seen(facts, {*ours, with_ours(others_of(*ours)), {}});
    for (const auto& beside : asking_beside(facts, *ours))
      std::ranges::move(what_is_not_seen(facts, beside), std::back_inserter(lines));
    return lines;
  }
  return {"for the programs that " + path_of(facts, *ours) +
          " asks for: it is not known where the runtime looks for plugins, and none of the usual folders has "
          "any of them; --bin-dir DIR says where"};
}

void find_program_findings(const Facts& facts, Findings& findings) {
  const auto* const ours = list_of_ours(facts);
  if (ours == nullptr) return;
  find_missing_program(facts, *ours, findings);
  find_missing_plugins(facts, {*ours, others_of(*ours), no_pod_starts(facts, *ours)}, findings);
  find_what_cannot_run(facts, {*ours, with_ours(others_of(*ours)), no_pod_starts_nor_ends(facts, *ours)},
                       findings);
  find_another_program(facts, *ours, findings);
  for (const auto& beside : asking_beside(facts, *ours)) {
    find_missing_plugins(facts, beside, findings);
    find_what_cannot_run(facts, beside, findings);
  }
}

}  // namespace ipmasq::doctor
