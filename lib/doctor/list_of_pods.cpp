#include "doctor/list_of_pods.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "conflist/multus.hpp"
#include "conflist/typed_keys.hpp"

namespace ipmasq::doctor {

namespace {

using Lists = std::vector<conflist::Network>;

const conflist::Network* first_loaded_where(const Lists& lists, const auto& is_it) {
  const auto found =
      std::ranges::find_if(lists, [&is_it](const auto& each) { return each.is_loaded() && is_it(each); });
  return found == lists.end() ? nullptr : &*found;
}

// podman takes each list by its name: the one that is to be ours, as far as that is known.
const conflist::Network* list_of_podman(const Lists& lists) {
  if (const auto* const ours = conflist::first_with(lists, conflist::our_type)) return ours;
  return first_loaded_where(lists, [](const auto& each) { return each.name != "podman"; });
}

bool is_found(const std::string& program, const Surroundings& node) {
  const auto first = std::ranges::find_if(
      node.bin_folders, [&program](const auto& folder) { return folder.programs.contains(program); });
  return first != node.bin_folders.end() && first->programs.at(program).empty();
}

// By CRI-O, which looks for the programs of a list's own plugins, not for those that these call.
bool is_passed_over(const conflist::Network& list, const Surroundings& node) {
  if (!node.taking.is_crios || !node.is_search_known || node.may_search_more) return false;
  return std::ranges::any_of(
      list.plugins, [&node](const cni::Json& plugin) { return !is_found(conflist::type_of(plugin), node); });
}

const conflist::Network* first_not_passed_over(const Surroundings& node) {
  return first_loaded_where(node.lists, [&node](const auto& each) { return !is_passed_over(each, node); });
}

}  // namespace

const conflist::Network* taken_instead_of(const conflist::Network& list, const Surroundings& node) {
  return node.taking.network.empty() && is_passed_over(list, node) ? first_not_passed_over(node) : nullptr;
}

const conflist::Network* list_of_runtime(const Surroundings& node) {
  if (node.taking.is_podmans) return list_of_podman(node.lists);
  if (node.taking.network.empty()) {
    const auto* const taken = first_not_passed_over(node);
    return taken == nullptr ? conflist::first_loaded(node.lists) : taken;
  }
  return first_loaded_where(node.lists,
                            [&node](const auto& each) { return each.name == node.taking.network; });
}

std::string path_of(const Facts& facts, const conflist::Network& list) {
  return (facts.node.conf_dir / list.file.name).string();
}

bool is_folder_of_pods(const Facts& facts) {
  const auto& node = facts.node;
  return node.conf_dir_said_by != SaidBy::nobody && node.elsewhere.empty() && !node.taking.is_podmans;
}

const Network* record_of(const Facts& facts, const conflist::Network& list) {
  const auto found = std::ranges::find(facts.ours.networks, list.name, &Network::name);
  return found == facts.ours.networks.end() ? nullptr : &*found;
}

ListOfPods list_of_pods(const Facts& facts) {
  const auto* const loaded = list_of_runtime(facts.node);
  if (loaded == nullptr) return {};
  const auto path = path_of(facts, *loaded);
  auto led = conflist::led_by_multus(*loaded, facts.node.lists, facts.node.conf_dir);
  if (!led) {
    const auto& taking = facts.node.taking;
    const auto why = taking.network.empty() ? "" : ", as " + taking.network_said_by + " says";
    return {.file = loaded, .network = *loaded, .told = path + " is what the runtime loads" + why};
  }
  if (led->list != nullptr) {
    return {.file = led->list,
            .network = *led->list,
            .told = path_of(facts, *led->list) + " is what multus takes for pods, as " + path + " says"};
  }
  if (!led->embedded)
    return {.file = loaded, .told = path, .elsewhere = led->elsewhere, .is_missing = led->is_missing};
  auto told = "the list " + cni::excerpt(cni::Json(led->embedded->name)) + " that multus keeps in " + path +
              " is what pods get";
  return {.file = loaded, .network = std::move(*led->embedded), .told = std::move(told), .is_copy = true};
}

std::vector<const conflist::Network*> called_beside(const Facts& facts, const conflist::Network& ours) {
  const auto* const loaded = list_of_runtime(facts.node);
  if (loaded == nullptr) return {};
  const auto& most = facts.node.taking.lists;
  auto called = most.most > 1 ? conflist::taken_of(facts.node.lists, most) : std::vector{loaded};
  const bool is_called = std::ranges::find(called, &ours) != called.end();
  if (!is_called && !list_of_pods(facts).network.our_place()) return {};
  std::erase(called, &ours);
  return called;
}

const conflist::Network* list_of_ours(const Facts& facts) {
  const auto of_pods = list_of_pods(facts);
  if (of_pods.file != nullptr && of_pods.file->our_place()) return of_pods.file;
  return conflist::first_with(facts.node.lists, conflist::our_type);
}

}  // namespace ipmasq::doctor
