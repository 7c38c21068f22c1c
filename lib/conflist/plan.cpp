#include "conflist/plan.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "conflist/entry.hpp"
#include "error/error.hpp"

namespace ipmasq::conflist {

namespace {

constexpr std::string_view backup_suffix = ".before-ip-masq";
constexpr std::string_view entry_suffix = ".entry-of-ip-masq";

std::string backup_of(std::string_view name) {
  return std::string(name) + std::string(backup_suffix);
}

std::string kept_entry_of(std::string_view name) {
  return std::string(name) + std::string(entry_suffix);
}

std::string_view stem_of(std::string_view name) {
  return name.substr(0, name.rfind('.'));
}

// Where the list that is made of a single plugin can stand: both come where the single one did, or next to
// it.
std::array<std::string, 2> list_names_of(std::string_view single) {
  return {std::string(stem_of(single)) + ".conflist", std::string(single) + ".conflist"};
}

// What the list of this name can have been made of.
std::array<std::string, 3> single_names_of(std::string_view list) {
  const std::string stem(stem_of(list));
  return {stem, stem + ".conf", stem + ".json"};
}

class Folder {
 public:
  Folder(std::string path, const std::vector<File>& files) : path_(std::move(path)), files_(files) {}

  std::string in(std::string_view name) const { return path_ + "/" + std::string(name); }

  bool has(std::string_view name) const { return find(name) != nullptr; }

  // So that nothing is lost that somebody writes meanwhile.
  void tell_what_was_read(Plan& plan) const {
    for (auto& step : plan.steps) {
      step.before = readable_text(step.name);
      step.other_before = readable_text(step.other);
    }
  }

  // nullopt where there is none. Throws Error where there is one that could not be read.
  std::optional<std::string> text(std::string_view name) const {
    const auto* const file = find(name);
    if (file == nullptr) return std::nullopt;
    if (file->is_folder) throw Error(Kind::failed, in(name) + " is a folder");
    if (!file->trouble.empty()) throw Error(Kind::failed, in(name) + ": " + file->trouble);
    return file->text;
  }

 private:
  std::optional<std::string> readable_text(std::string_view name) const {
    const auto* const file = find(name);
    const bool is_readable = file != nullptr && !file->is_folder && file->trouble.empty();
    return is_readable ? std::optional(file->text) : std::nullopt;
  }

  const File* find(std::string_view name) const {
    const auto found = std::ranges::find(files_, name, &File::name);
    return found == files_.end() ? nullptr : std::to_address(found);
  }

  std::string path_;
  const std::vector<File>& files_;
};

std::string told_of(const Folder& folder, const Network& network) {
  return folder.in(network.file.name) + ": " + network.reason;
}

Network network_of(std::string name, std::string text) {
  return read_networks({{.name = std::move(name), .text = std::move(text)}}).front();
}

// ---- install

void check_that_it_works(const Folder& folder, const std::string& name, const std::string& list) {
  const auto network = network_of("x.conflist", list);
  const auto reasons = network.is_loaded() ? why_add_would_fail(network) : std::vector{network.reason};
  if (reasons.empty()) return;
  std::string joined;
  for (const auto& reason : reasons) joined += (joined.empty() ? "" : "; ") + reason;
  throw Error(Kind::wrong_config, folder.in(name) + ": with ip-masq in it no pod would start: " + joined,
              "put that right first; nothing was changed in it");
}

// The entry that goes into `list`, or into what was written instead of it.
std::string wanted_entry(const Folder& folder, const std::string& name,
                         const std::optional<std::string>& list) {
  if (list) {
    if (auto entry = entry_of(*list)) return *entry;
  }
  auto kept = folder.text(kept_entry_of(name)).value_or("");
  while (!kept.empty() && (kept.back() == '\n' || kept.back() == '\r')) kept.pop_back();
  return is_entry(kept) ? kept : std::string(plain_entry);
}

// So that the entry's keys outlive a file that is written anew.
void keep_entry(const Folder& folder, const std::string& name, const std::string& entry, Plan& plan) {
  const auto beside = kept_entry_of(name);
  if (!has_keys(entry)) {
    if (folder.has(beside))
      plan.steps.push_back({.kind = Step::Kind::remove, .name = beside, .may_fail = true});
  } else if (const auto text = entry + "\n"; folder.text(beside) != text) {
    plan.steps.push_back({.name = beside, .other = name, .text = text, .may_fail = true});
  }
}

void install_into_list(const Folder& folder, const Network& network, Plan& plan) {
  const auto& name = network.file.name;
  const auto& text = network.file.text;
  const auto entry = wanted_entry(folder, name, text);
  const auto wanted = with_entry(text, entry);
  check_that_it_works(folder, name, wanted);
  if (wanted != text) {
    // Of a file that has an entry already what was found before is worth more.
    const auto backup = folder.text(backup_of(name));
    if (!backup || (*backup != text && !network.our_place()))
      plan.steps.push_back({.name = backup_of(name), .other = name, .text = text});
    plan.steps.push_back(
        {.name = name, .other = name, .text = wanted, .told = "put the entry into " + folder.in(name)});
  }
  keep_entry(folder, name, entry, plan);
}

std::string made_of(const std::string& single, std::string_view entry) {
  return with_entry(as_list(single), entry);
}

// Whether `list` is what install made of the single plugin, whatever the keys of our entry are.
bool is_made_of(const std::string& list, const std::string& single) {
  const auto entry = entry_of(list);
  return entry && made_of(single, *entry) == list;
}

bool can_be_made_of(const std::string& text) {
  return network_of("x.conf", text).is_loaded();
}

// Whether a list that may be written is under the name, or none.
bool is_free_for(const Folder& folder, const std::string& list_name, const Network& single) {
  const auto list = folder.text(list_name);
  if (!list) return true;
  const auto network = network_of(list_name, *list);
  const auto backup = folder.text(backup_of(single.file.name));
  if (!network.our_place()) return false;
  if (is_made_of(*list, single.file.text)) return true;
  if (!backup || !can_be_made_of(*backup)) return false;
  if (is_made_of(*list, *backup)) return true;
  throw Error(Kind::wrong_config,
              folder.in(single.file.name) + " was written anew, and somebody has changed " +
                  folder.in(list_name) + ", which install made of the one before",
              "bring the two together in the list and remove the single one; nothing was changed in them");
}

std::string list_name_for(const Folder& folder, const Network& single) {
  for (const auto& name : list_names_of(single.file.name)) {
    if (is_free_for(folder, name, single)) return name;
  }
  throw Error(Kind::wrong_config, folder.in(single.file.name) + " cannot become a list: there is a " +
                                      folder.in(list_names_of(single.file.name).back()));
}

void install_into_single(const Folder& folder, const Network& network, Plan& plan) {
  const auto& name = network.file.name;
  const auto list_name = list_name_for(folder, network);
  const auto list = folder.text(list_name);
  const auto entry = wanted_entry(folder, list_name, list);
  const auto wanted = made_of(network.file.text, entry);
  check_that_it_works(folder, name, wanted);
  if (list != wanted) plan.steps.push_back({.name = list_name, .other = name, .text = wanted});
  plan.steps.push_back({.kind = Step::Kind::rename,
                        .name = backup_of(name),
                        .other = name,
                        .told = "put the entry into " + folder.in(list_name) + ", which stands instead of " +
                                folder.in(name)});
  keep_entry(folder, list_name, entry, plan);
}

void note_what_comes_before(const Folder& folder, const std::vector<Network>& networks, const Network& target,
                            Plan& plan) {
  for (const auto* const other : in_the_way(networks, target)) {
    plan.notes.push_back(told_of(folder, *other) +
                         "; containerd loads no network at all while it is there, CRI-O "
                         "passes over it");
  }
  for (const auto& network : networks) {
    if (network.loading == Loading::passed) plan.notes.push_back(told_of(folder, network) + ": passed over");
  }
  if (const auto* const first = first_loaded(networks); first != &target) {
    plan.notes.push_back(folder.in(first->file.name) + " is loaded before " + folder.in(target.file.name) +
                         ": pods get that network, unless the runtime is told otherwise");
  }
}

// Nothing can be said of the order while one of these cannot be read.
void check_that_all_was_read(const Folder& folder, const std::vector<Network>& networks,
                             const Network* target) {
  for (const auto& network : networks) {
    if (&network == target) return;
    if (network.file.is_unread) throw Error(Kind::failed, told_of(folder, network));
  }
}

// ---- uninstall

// The text of a list before ours was put in.
std::optional<std::string> text_before(const Folder& folder, const std::string& name, bool& was_single) {
  if (auto backup = folder.text(backup_of(name))) return backup;
  for (const auto& single : single_names_of(name)) {
    if (single == name || !is_considered(single)) continue;
    auto text = folder.text(backup_of(single));
    if (!text || !can_be_made_of(*text)) continue;
    was_single = true;
    return as_list(*text);
  }
  return std::nullopt;
}

void forget_entry(const Folder& folder, const std::string& name, Plan& plan) {
  const auto beside = kept_entry_of(name);
  if (folder.has(beside)) plan.steps.push_back({.kind = Step::Kind::remove, .name = beside});
}

// A list that is just what install made of a single plugin: that one comes back. Whether it was so.
bool put_single_back(const Folder& folder, const Network& network, Plan& plan) {
  const auto& list = network.file.name;
  for (const auto& name : single_names_of(list)) {
    if (name == list || !is_considered(name)) continue;
    const auto backup = folder.text(backup_of(name));
    const auto single = folder.text(name);
    const auto& found = backup ? backup : single;
    if (!found || !can_be_made_of(*found) || !is_made_of(network.file.text, *found)) continue;
    if (!single) plan.steps.push_back({.kind = Step::Kind::link, .name = name, .other = backup_of(name)});
    plan.steps.push_back(
        {.kind = Step::Kind::remove, .name = list, .told = "put " + folder.in(name) + " back"});
    if (backup) plan.steps.push_back({.kind = Step::Kind::remove, .name = backup_of(name)});
    forget_entry(folder, list, plan);
    return true;
  }
  return false;
}

// How an entry that somebody gave keys is told when it goes: they are nowhere else.
std::string entry_told(const Network& network) {
  const auto entry = entry_of(network.file.text);
  if (!entry || !has_keys(*entry)) return {};
  return ": " + cni::to_text(network.plugins[*network.our_place()]);
}

void take_out_of_list(const Folder& folder, const Network& network, Plan& plan) {
  const auto& name = network.file.name;
  bool was_single = false;
  const auto before = text_before(folder, name, was_single);
  const auto wanted = without_entry(network.file.text, before);
  const auto word = wanted == before && !was_single ? "put " + folder.in(name) + " back"
                                                    : "took the entry out of " + folder.in(name);
  plan.steps.push_back({.name = name, .other = name, .text = wanted, .told = word + entry_told(network)});
  if (folder.has(backup_of(name)))
    plan.steps.push_back({.kind = Step::Kind::remove, .name = backup_of(name)});
  forget_entry(folder, name, plan);
  if (!before && says_no_masquerade(wanted)) {
    plan.notes.push_back(
        folder.in(name) +
        R"(: flannel's delegate says "ipMasq": false, which was there before ip-masq was installed: )"
        "where flanneld runs without --ip-masq, pods reach nothing beyond the cluster; take it out then");
  }
}

// What was left beside a file by a call that was cut short, or after the file was written anew.
void tidy_beside(const Folder& folder, const File& file, const std::vector<Network>& networks, Plan& plan) {
  const std::string_view name = file.name;
  if (!name.ends_with(backup_suffix)) {
    const auto of = std::string(name.substr(0, name.size() - entry_suffix.size()));
    const auto network =
        std::ranges::find(networks, of, [](const Network& other) { return other.file.name; });
    if (network == networks.end() || !network->our_place()) {
      plan.steps.push_back(
          {.kind = Step::Kind::remove, .name = file.name, .told = "removed " + folder.in(name)});
    }
    return;
  }
  const auto of = std::string(name.substr(0, name.size() - backup_suffix.size()));
  const auto network = std::ranges::find(networks, of, [](const Network& other) { return other.file.name; });
  if (network != networks.end() && network->our_place()) return;
  if (network != networks.end() && network->is_loaded()) {
    plan.steps.push_back(
        {.kind = Step::Kind::remove, .name = file.name, .told = "removed " + folder.in(name)});
    return;
  }
  const auto lists = list_names_of(of);
  const bool is_replaced = folder.has(lists[0]) || folder.has(lists[1]);
  if (network == networks.end() && file.trouble.empty() && can_be_made_of(file.text) && !is_replaced) {
    plan.steps.push_back({.kind = Step::Kind::rename,
                          .name = of,
                          .other = file.name,
                          .told = "put " + folder.in(of) + " back"});
    return;
  }
  plan.notes.push_back(folder.in(name) + " was left: it is " + folder.in(of) + " as it was before ip-masq");
}

}  // namespace

std::optional<Plan> plan_install(const std::string& path, const std::vector<File>& files,
                                 std::string_view after) {
  const Folder folder(path, files);
  const auto networks = read_networks(files);
  const auto* const target = first_with(networks, after);
  check_that_all_was_read(folder, networks, target);
  if (target == nullptr) return std::nullopt;
  Plan plan;
  target->is_single ? install_into_single(folder, *target, plan) : install_into_list(folder, *target, plan);
  note_what_comes_before(folder, networks, *target, plan);
  folder.tell_what_was_read(plan);
  return plan;
}

std::vector<std::string> why_not_found(const std::string& path, const std::vector<File>& files,
                                       std::string_view after) {
  const Folder folder(path, files);
  std::vector<std::string> lines;
  for (const auto& network : read_networks(files)) {
    if (network.is_loaded()) continue;
    if (network.loading != Loading::refused || network.holds(after))
      lines.push_back(told_of(folder, network));
  }
  return lines;
}

Plan plan_uninstall(const std::string& path, const std::vector<File>& files) {
  const Folder folder(path, files);
  const auto networks = read_networks(files);
  Plan plan;
  for (const auto& network : networks) {
    if (network.file.is_unread) {
      plan.failures.push_back(told_of(folder, network));
    } else if (network.loading == Loading::unknown || network.loading == Loading::passed) {
      plan.notes.push_back(told_of(folder, network) + ": passed over");
    } else if (!network.is_single && network.our_place() && !put_single_back(folder, network, plan)) {
      take_out_of_list(folder, network, plan);
    }
  }
  const auto is_touched = [&plan](const std::string& name) {
    return std::ranges::any_of(plan.steps,
                               [&name](const Step& step) { return step.name == name || step.other == name; });
  };
  for (const auto& file : files) {
    if (is_beside(file.name) && !is_touched(file.name)) tidy_beside(folder, file, networks, plan);
  }
  folder.tell_what_was_read(plan);
  return plan;
}

bool is_beside(std::string_view name) {
  return std::ranges::any_of(std::array{backup_suffix, entry_suffix}, [name](std::string_view suffix) {
    return name.ends_with(suffix) && is_considered(name.substr(0, name.size() - suffix.size()));
  });
}

}  // namespace ipmasq::conflist
