#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <utility>

#include "config/defaults.hpp"
#include "conflist/entry.hpp"
#include "conflist/folder.hpp"
#include "conflist/multus.hpp"
#include "conflist/plan.hpp"
#include "conflist/subnet_files.hpp"
#include "conflist/typed_keys.hpp"
#include "error/error.hpp"

namespace ipmasq::conflist {

namespace {

namespace fs = std::filesystem;

// The network with another text in its file.
Network with_text(const Network& network, std::string text) {
  auto file = network.file;
  file.name = "x.conflist";
  file.text = std::move(text);
  return read_networks({std::move(file)}).front();
}

std::string plain_file_in(const Folder& folder, const Network& network) {
  return folder.in(network.name + "/zz-ip-masq.conf");
}

void check_that_it_works(const Folder& folder, const std::string& name, const Network& network) {
  const auto reasons = network.is_loaded() ? why_add_would_fail(network) : std::vector{network.reason};
  if (reasons.empty()) return;
  std::string joined;
  for (const auto& reason : reasons) joined += (joined.empty() ? "" : "; ") + reason;
  throw Error(Kind::wrong_config, folder.in(name) + ": with ip-masq in it no pod would start: " + joined,
              "put that right first; nothing was changed in it");
}

// As flannel's plugin beside it has it.
std::string with_subnet_file(std::string entry, const Network& network) {
  const auto file = subnet_file_of_flannel(network);
  if (!file || *file == config::default_subnet_file) return entry;
  entry.pop_back();
  return entry + R"(, "subnetFile": )" + cni::Json(file->string()).dump() + "}";
}

// Where nobody wrote one.
std::string new_entry_for(const Network& network) {
  return with_subnet_file(plain_entry, network);
}

// Whether an earlier version's install put it in, and nobody has changed it since.
bool is_of_earlier_install(const Folder& folder, const std::string& entry, const Network& network) {
  const auto& name = network.file.name;
  const auto singles = single_names_of(name);
  const bool has_backup =
      folder.has(backup_of(name)) ||
      std::ranges::any_of(singles, [&](const auto& single) { return folder.has(backup_of(single)); });
  return has_backup && entry == with_subnet_file(earlier_plain_entry, network);
}

bool can_be_written(const Network& network) {
  return !network.file.obstacle && network.file.links == 1;
}

// The entry that goes into `list`, or into what was written instead of it.
std::string wanted_entry(const Folder& folder, const std::string& name,
                         const std::optional<std::string>& list, const Network& network) {
  if (list) {
    if (auto entry = entry_of(*list)) {
      const bool is_to_follow = can_be_written(network) && is_of_earlier_install(folder, *entry, network);
      return is_to_follow ? new_entry_for(network) : *entry;
    }
  }
  auto kept = folder.text(kept_entry_of(name)).value_or("");
  while (!kept.empty() && (kept.back() == '\n' || kept.back() == '\r')) kept.pop_back();
  return is_entry(kept) ? kept : new_entry_for(network);
}

// So that keys that somebody wrote into it outlive a file that is written anew.
void keep_entry(const Folder& folder, const std::string& name, const std::string& entry,
                const Network& network, Plan& plan) {
  const auto beside = kept_entry_of(name);
  if (!has_keys(entry) || entry == new_entry_for(network)) {
    if (folder.has(beside))
      plan.steps.push_back({.kind = Step::Kind::remove, .name = beside, .may_fail = true});
  } else if (const auto text = entry + "\n"; folder.text(beside) != text) {
    plan.steps.push_back({.name = beside, .other = name, .text = text, .may_fail = true});
  }
}

// Whether it can have an entry: plugins of the folder beside come behind all that stand in the list.
void check_that_an_entry_can_be_last(const Folder& folder, const Network& network) {
  const auto maker = network.place_of_maker();
  if (network.our_place() || !maker || *maker < network.inlined) return;
  throw Error(
      Kind::wrong_config,
      folder.in(network.file.name) + ": its plugin \"" + type_of(network.plugins[*maker]) + "\" stands in " +
          folder.in(network.file_of(*maker)) +
          ", and so comes behind all that the list itself has: an entry of ip-masq there would be the first",
      "write " + std::string(plain_entry) + " to " + plain_file_in(folder, network));
}

// Nobody writes into the files of the folder beside.
void note_masquerade_beside(const Folder& folder, const Network& network, Plan& plan) {
  for (auto place = network.inlined; place < network.plugins.size(); ++place) {
    const auto& plugin = network.plugins[place];
    const auto delegate = plugin.value("delegate", cni::Json::object());
    if (type_of(plugin) != flannel_type || (delegate.is_object() && delegate.contains("ipMasq"))) continue;
    plan.notes.push_back(
        folder.in(network.file_of(place)) +
        R"(: write "ipMasq": false into its "delegate": flannel's plugin lets the bridge masquerade )"
        "where flanneld does not");
  }
}

// Pods of other nodes are then masqueraded where no list has them. `written`: with our entry.
void note_other_subnet_file(const Folder& folder, const std::string& name, const Network& written,
                            Plan& plan) {
  const auto files = subnet_files_of(written);
  if (!files || files->are_same()) return;
  plan.notes.push_back(folder.in(name) + ": flannel's plugin reads its networks from " +
                       files->flannels.string() + ", ip-masq's entry does not: write \"subnetFile\": " +
                       cni::Json(files->flannels.string()).dump() + " into the entry");
}

void check_that_it_can_be_written(const Folder& folder, const Network& network) {
  const auto& obstacle = network.file.obstacle;
  if (!obstacle) return;
  throw Error(Kind::wrong_config,
              "nobody can write another " + folder.in(network.file.name) + ": " + obstacle->told() +
                  "; nothing was changed",
              obstacle->fix());
}

// Where the entry is there already pods may well start, and who wrote it knows why.
void look_at_older_libcni(const Folder& folder, const std::string& name, const Network& network, Plan& plan) {
  const auto why = why_older_libcni_would_fail(network);
  if (why.empty()) return;
  constexpr auto fix =
      R"(write "cniVersion": "0.4.0" beside "cniVersions", which changes nothing for a newer libcni)";
  if (!network.our_place())
    throw Error(Kind::wrong_config, folder.in(name) + ": with ip-masq in it no pod may start: " + why,
                std::string(fix) + "; nothing was changed in it");
  plan.notes.push_back(folder.in(name) + ": " + why + "; " + fix);
}

std::string install_into_list(const Folder& folder, const Network& network, Plan& plan) {
  const auto& name = network.file.name;
  const auto& text = network.file.text;
  check_that_an_entry_can_be_last(folder, network);
  look_at_older_libcni(folder, name, network, plan);
  const bool has_it_beside = network.our_place() && !network.has_our_entry_inlined();
  const auto entry = has_it_beside ? std::nullopt : std::optional(wanted_entry(folder, name, text, network));
  const auto wanted = network.inlined > 0 ? with_entry(text, entry) : text;
  const auto written = with_text(network, wanted);
  check_that_it_works(folder, name, written);
  note_masquerade_beside(folder, network, plan);
  if (wanted != text) {
    check_that_it_can_be_written(folder, network);
    if (network.file.links > 1)
      throw Error(Kind::wrong_config, told_of_links(folder, network),
                  "make the others symbolic links to one, or files of their own; nothing was changed in it");
    // Of a file that has an entry already what was found before is worth more.
    const auto backup = folder.text(backup_of(name));
    if (!backup || (*backup != text && !network.our_place()))
      plan.steps.push_back({.name = backup_of(name), .other = name, .text = text});
    const bool asks_anew = entry && entry_of(text) && entry_of(text) != entry;
    plan.steps.push_back({.name = name,
                          .other = name,
                          .text = wanted,
                          .told = asks_anew
                                      ? "had the entry in " + folder.in(name) + " ask for pods' annotations"
                                      : "put the entry into " + folder.in(name)});
  }
  if (entry) keep_entry(folder, name, *entry, network, plan);
  if (entry) note_other_subnet_file(folder, name, written, plan);
  return name;
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

// Who takes the file by its path would find none.
void check_that_it_may_be_renamed(const Folder& folder, const std::string& name, const std::string& list_name,
                                  const std::vector<Network>& networks) {
  const auto all = who_names(name, networks, folder.path());
  if (all.empty()) return;
  std::string told;
  std::string fix;
  for (const auto& each : all) {
    told += (told.empty() ? "" : " and ") + ("\"" + each.key) + "\" in " + folder.in(each.by);
    fix += told_to_name(each, list_name, folder.path()) + "; ";
  }
  throw Error(Kind::wrong_config,
              folder.in(name) + " would become " + list_name + ", and multus takes it by its path, " + told +
                  ": no pod would start; nothing was changed in it",
              fix + "then install at once: no pod starts in between");
}

// Both give the name of the file that has the entry then.
std::string install_into_single(const Folder& folder, const std::vector<Network>& networks,
                                const Network& network, Plan& plan) {
  const auto& name = network.file.name;
  auto list_name = list_name_for(folder, network);
  check_that_it_can_be_written(folder, network);
  check_that_it_may_be_renamed(folder, name, list_name, networks);
  const auto list = folder.text(list_name);
  const auto entry = wanted_entry(folder, list_name, list, network);
  const auto wanted = made_of(network.file.text, entry);
  const auto written = network_of("x.conflist", wanted);
  check_that_it_works(folder, name, written);
  if (list != wanted) plan.steps.push_back({.name = list_name, .other = name, .text = wanted});
  plan.steps.push_back({.kind = Step::Kind::rename,
                        .name = backup_of(name),
                        .other = name,
                        .told = "put the entry into " + folder.in(list_name) + ", which stands instead of " +
                                folder.in(name)});
  keep_entry(folder, list_name, entry, network, plan);
  note_other_subnet_file(folder, name, written, plan);
  return list_name;
}

// How the list is taken that has the target's entry.
struct Place {
  const std::string& written;  // its file
  const Taken& taken;
  const Named& named;
};

std::string told_of_both(const Taken& taken) {
  return ": pods get both networks, as " + taken.said_by +
         " says, and the addresses that they are known by are of the first";
}

// The first is a file of multus.
std::string told_of_multus(const Led& led) {
  if (led.embedded) {
    return ": multus keeps a copy of a list in it, as it was when multus started, and pods get that one: "
           "restart multus' pod of this node";
  }
  return led.elsewhere.empty() ? ": pods get that network, unless the runtime is told otherwise"
                               : ": multus hands pods on to " + led.elsewhere;
}

// nullptr where there is none of the name that is told.
const Network* taken_first(const std::vector<Network>& networks, const Named& named) {
  if (named.network.empty()) return first_loaded(networks);
  const auto found = std::ranges::find_if(
      networks, [&named](const Network& each) { return each.is_loaded() && each.name == named.network; });
  return found == networks.end() ? nullptr : std::to_address(found);
}

void note_named(const Folder& folder, const Network& target, const Named& named, Plan& plan) {
  plan.notes.push_back(folder.in(target.file.name) + " is the network " +
                       cni::excerpt(cni::Json(target.name)) + ": pods get the network " +
                       cni::excerpt(cni::Json(named.network)) + ", as " + named.said_by + " says");
}

void note_what_comes_before(const Folder& folder, const std::vector<Network>& networks, const Network& target,
                            const Place& place, Plan& plan) {
  const auto& written = place.written;
  for (const auto* const other : in_the_way(networks, target, place.taken)) {
    plan.notes.push_back(told_of(folder, *other) +
                         "; containerd loads no network at all while it is there, CRI-O "
                         "passes over it");
  }
  for (const auto& network : networks) {
    if (network.loading == Loading::passed) plan.notes.push_back(told_of(folder, network) + ": passed over");
  }
  const auto& taken = place.taken;
  const auto* const first = taken_first(networks, place.named);
  if (first == &target) return;
  const auto led = first == nullptr ? std::nullopt : led_by_multus(*first, networks, folder.path());
  if (!led && !place.named.network.empty()) return note_named(folder, target, place.named, plan);
  const bool is_as_well = is_taken_as_well(networks, target, taken);
  const bool is_led_to_target =
      led && ((led->list != nullptr && (led->list == &target || led->list->file.name == written)) ||
              (led->is_missing && fs::path(led->elsewhere).filename() == written));
  if (is_led_to_target && !is_as_well) return;
  std::string does = ": pods get that network, unless the runtime is told otherwise";
  if (led) {
    does = is_led_to_target ? ": multus hands pods on to the other" : told_of_multus(*led);
    if (is_as_well)
      does += std::string("; they get ") + (is_led_to_target ? "it once more" : "the other as well") +
              ", as " + taken.said_by + " says";
  } else if (is_as_well) {
    does = told_of_both(taken);
  }
  plan.notes.push_back(folder.in(first->file.name) + " is loaded before " + folder.in(target.file.name) +
                       does);
}

// Nothing can be said of the order while one of these cannot be read.
void check_that_all_was_read(const Folder& folder, const std::vector<Network>& networks,
                             const Network* target) {
  for (const auto& network : networks) {
    if (&network == target) return;
    if (network.file.is_unread) throw Error(Kind::failed, told_of(folder, network));
  }
}

}  // namespace

std::optional<Plan> plan_install(const std::string& path, const std::vector<File>& files,
                                 std::string_view after, const Taken& taken, const Named& named) {
  const Folder folder(path, files);
  const auto networks = read_networks(files);
  const auto* const target = first_with(networks, after);
  check_that_all_was_read(folder, networks, target);
  if (target == nullptr) return std::nullopt;
  Plan plan;
  const auto written = target->is_single ? install_into_single(folder, networks, *target, plan)
                                         : install_into_list(folder, *target, plan);
  note_what_comes_before(folder, networks, *target, {written, taken, named}, plan);
  folder.tell_what_was_read(plan);
  return plan;
}

std::vector<std::string> why_not_found(const std::string& path, const std::vector<File>& files,
                                       std::string_view after) {
  const Folder folder(path, files);
  std::vector<std::string> lines;
  for (const auto& network : read_networks(files)) {
    if (network.is_loaded()) continue;
    const bool says_no_type =
        std::ranges::all_of(network.plugins, [](const cni::Json& plugin) { return type_of(plugin).empty(); });
    if (network.loading != Loading::refused || says_no_type || network.holds(after))
      lines.push_back(told_of(folder, network));
  }
  return lines;
}

}  // namespace ipmasq::conflist
