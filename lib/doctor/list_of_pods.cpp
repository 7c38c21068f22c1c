#include "doctor/list_of_pods.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "conflist/multus.hpp"

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

}  // namespace

const conflist::Network* list_of_runtime(const Surroundings& node) {
  if (node.taking.is_podmans) return list_of_podman(node.lists);
  if (node.taking.network.empty()) return conflist::first_loaded(node.lists);
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

const conflist::Network* list_of_ours(const Facts& facts) {
  const auto of_pods = list_of_pods(facts);
  if (of_pods.file != nullptr && of_pods.file->our_place()) return of_pods.file;
  return conflist::first_with(facts.node.lists, conflist::our_type);
}

}  // namespace ipmasq::doctor
