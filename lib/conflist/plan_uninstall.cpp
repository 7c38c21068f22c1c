#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "conflist/entry.hpp"
#include "conflist/folder.hpp"
#include "conflist/multus.hpp"
#include "conflist/plan.hpp"
#include "error/error.hpp"

namespace ipmasq::conflist {

namespace {

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

// A list that is just what install made of a single plugin: that one comes back, unless multus takes the list
// by its path. Whether it was so.
bool put_single_back(const Folder& folder, const std::vector<Network>& networks, const Network& network,
                     Plan& plan) {
  const auto& list = network.file.name;
  if (!who_names(list, networks, folder.path()).empty()) return false;
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

// Nobody can tell what it will be once it is whole.
void note_what_is_half_written(const std::string& path, const Network& network, Plan& plan) {
  if (!may_be_half_written(network)) return;
  plan.notes.push_back(path + ": " + network.reason +
                       ": it was left; where it is half-written, and has an entry of ip-masq once it is "
                       R"(whole, "ip-masq uninstall" takes the entry out then)");
}

// Whether it is so, and told.
bool is_kept_by_obstacle(const Folder& folder, const File& file, Plan& plan) {
  if (!file.obstacle) return false;
  plan.failures.push_back(folder.in(file.name) + " was left: " + file.obstacle->told() + "; " +
                          file.obstacle->fix());
  return true;
}

// Each is a file of its own.
void remove_entries_beside(const Folder& folder, const Network& network, Plan& plan) {
  for (const auto& file : network.file.plugins) {
    auto list = network_of("x.conf", file.text);
    note_what_is_half_written(folder.in(file.name), list, plan);
    if (!list.holds(our_type) || is_kept_by_obstacle(folder, file, plan)) continue;
    plan.steps.push_back(
        {.kind = Step::Kind::remove,
         .name = file.name,
         .told = "removed " + folder.in(file.name) + ": " + cni::to_text(list.plugins.front())});
  }
}

// Whoever put it out of force may put it back.
void note_what_is_put_aside(const Folder& folder, const File& file, Plan& plan) {
  const auto of = std::string(stem_of(file.name));
  if (!network_of(of, file.text).our_place()) return;
  plan.notes.push_back(folder.in(file.name) +
                       " has an entry of ip-masq, and is out of force: it was left; once it is " +
                       folder.in(of) + R"( again, "ip-masq uninstall" takes the entry out)");
}

void take_out_of_list(const Folder& folder, const Network& network, Plan& plan) {
  const auto& name = network.file.name;
  if (network.file.links > 1) return plan.failures.push_back(told_of_links(folder, network));
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
  const bool is_replaced = std::ranges::any_of(lists, [&folder](const std::string& list) {
    return folder.has(list) || std::ranges::any_of(aside_suffixes, [&](auto suffix) {
             return folder.has(list + std::string(suffix));
           });
  });
  if (network == networks.end() && file.trouble.empty() && can_be_made_of(file.text) && !is_replaced) {
    plan.steps.push_back({.kind = Step::Kind::rename,
                          .name = of,
                          .other = file.name,
                          .told = "put " + folder.in(of) + " back"});
    return;
  }
  plan.notes.push_back(folder.in(name) + " was left: it is " + folder.in(of) + " as it was before ip-masq");
}

// Of a list that was left it is needed still.
bool is_left_beside(const Folder& folder, const File& file, const std::vector<Network>& networks,
                    Plan& plan) {
  const bool is_of_one_left = std::ranges::any_of(networks, [&file](const Network& network) {
    return network.file.obstacle && network.our_place() && file.name.starts_with(network.file.name);
  });
  return is_of_one_left || is_kept_by_obstacle(folder, file, plan);
}

}  // namespace

Plan plan_uninstall(const std::string& path, const std::vector<File>& files) {
  const Folder folder(path, files);
  const auto networks = read_networks(files);
  Plan plan;
  for (const auto& network : networks) {
    if (network.file.is_unread) {
      plan.failures.push_back(told_of(folder, network));
    } else if (network.loading == Loading::unknown || network.loading == Loading::passed) {
      plan.notes.push_back(told_of(folder, network) + ": passed over");
    } else {
      if (!network.is_single && network.has_our_entry_inlined() &&
          !is_kept_by_obstacle(folder, network.file, plan) &&
          !put_single_back(folder, networks, network, plan))
        take_out_of_list(folder, network, plan);
      note_what_is_half_written(folder.in(network.file.name), network, plan);
      remove_entries_beside(folder, network, plan);
    }
  }
  const auto is_touched = [&plan](const std::string& name) {
    return std::ranges::any_of(plan.steps,
                               [&name](const Step& step) { return step.name == name || step.other == name; });
  };
  for (const auto& file : files) {
    if (is_beside(file.name) && !is_touched(file.name) && !is_left_beside(folder, file, networks, plan))
      tidy_beside(folder, file, networks, plan);
    if (is_put_aside(file.name)) note_what_is_put_aside(folder, file, plan);
  }
  folder.tell_what_was_read(plan);
  return plan;
}

}  // namespace ipmasq::conflist
