#include "plugin/agent/adopt_pass.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "cni/cache.hpp"
#include "cni/environment.hpp"
#include "config/flannel.hpp"
#include "config/in_force.hpp"
#include "conflist/conflist.hpp"
#include "conflist/read_folder.hpp"
#include "error/error.hpp"
#include "os/file.hpp"
#include "plugin/verbs/adoption.hpp"
#include "plugin/verbs/caches.hpp"
#include "plugin/verbs/own_address.hpp"
#include "plugin/verbs/transaction.hpp"
#include "plugin/verbs/verbs.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;

// A network that is ours to carry.
struct Candidate {
  cni::Json netconf;  ///< our entry, with the network's name
  bool is_flannels = false;
};

using Candidates = std::map<std::string, std::optional<Candidate>>;  ///< none for a list without our entry

// None for a list without our entry.
std::optional<Candidate> candidate_of(const conflist::Network& network) {
  const auto place = network.our_place();
  if (!place) return std::nullopt;
  Candidate candidate{.netconf = network.plugins.at(*place),
                      .is_flannels = network.holds(conflist::flannel_type)};
  candidate.netconf["name"] = network.name;
  return candidate;
}

bool may_be_a_network_of_ours(const conflist::Network& network) {
  return network.is_loaded() && !network.is_single && cni::is_cni_name(network.name) &&
         state::Store::is_network_name(network.name);
}

// Of a list that no runtime loads as it is: whether it is half-written, or has our entry.
bool may_become_ours(const conflist::Network& network) {
  using conflist::Loading;
  return network.loading == Loading::unknown ||
         (network.loading == Loading::refused && (network.plugins.empty() || network.our_place()));
}

// By name, the first list that has it, as libcni takes it (LoadConfList).
Candidates lists_in(const fs::path& folder, AdoptPass& pass) {
  Candidates candidates;
  if (!os::is_there(folder)) {
    pass.passed_over.push_back("there is no folder " + folder.string());
    return candidates;
  }
  for (const auto& network : conflist::read_networks(conflist::read_folder(folder))) {
    const auto line = (folder / network.file.name).string() + ": " + network.reason;
    if (network.file.is_unread) pass.unread_lists.push_back(line);
    if (!network.file.is_unread && may_become_ours(network)) pass.passed_over.push_back(line);
    if (may_be_a_network_of_ours(network)) candidates.emplace(network.name, candidate_of(network));
  }
  return candidates;
}

// The list that an attachment was made of.
conflist::Network as_cached(const cni::Json& list) {
  return conflist::read_networks({{.name = "cached.conflist", .text = cni::to_text(list)}}).front();
}

// What is to be done of one network.
struct Task {
  Plan plan;
  std::optional<state::NetworkRecord> before;
  UnadoptedNetwork network;
  bool is_needed = false;
};

class Pass {
 public:
  // `node`: where rules are to follow, so that those of other networks count as well.
  Pass(const state::Store& store, const fs::path& conf_dir, const Node* node,
       const std::vector<conflist::Network>& to_come = {})
      : store_(store), node_(node), candidates_(lists_in(conf_dir, pass_)) {
    for (const auto& network : to_come) {
      if (may_be_a_network_of_ours(network))
        candidates_.insert_or_assign(network.name, candidate_of(network));
    }
    read_cache();
  }

  // Each network that something is to be done of.
  void for_each_task(const std::function<void(Task&)>& visit) {
    for (const auto& [name, candidate] : candidates_) {
      if (!candidate) continue;
      try {
        const auto state_dir = config::parse_state_dir(candidate->netconf);
        if (state_dir != store_.folder()) {
          pass_.elsewhere.push_back("network " + name + " is recorded in " + state_dir.string() +
                                    ", not in " + store_.folder().string());
          continue;
        }
        auto task = task_of(name, *candidate);
        if (task.is_needed) visit(task);
      } catch (const Error& error) {
        pass_.problems.push_back("network " + name + ": " + error.what());
      }
    }
  }

  AdoptPass& result() { return pass_; }

 private:
  void read_cache() {
    cni::CacheFilter filter{.networks = {}, .known = {}, .wants_list = [](const cni::Json& list) {
                              return list.is_object() && as_cached(list).our_place().has_value();
                            }};
    for (const auto& [name, candidate] : candidates_) {
      if (candidate) filter.networks.insert(name);
    }
    for (const auto& [name, network] : store_.load()) {
      for (const auto& attachment : network.attachments)
        filter.known.emplace(cni::cache_name(name, attachment.id), name);
    }
    cache_ = read_caches_of_node(filter);
    pass_.is_told = cache_.is_listed;
    pass_.is_all_seen = cache_.is_complete;
    pass_.warnings = cache_.problems;
    pass_.not_seen = cache_.not_seen;
    for (const auto& network : cache_.unread) {
      if (candidates_[network])
        pass_.problems.push_back("network " + network + ": a file of the runtime's cache could not be read");
    }
    take_lists_of_pods();
  }

  // Where no list is there any more, the one that the last pod was started with.
  void take_lists_of_pods() {
    std::vector<const cni::CachedAttachment*> newest_first;
    for (const auto& cached : cache_.living) {
      if (!candidates_.contains(cached.network) && cached.list.is_object()) newest_first.push_back(&cached);
    }
    std::ranges::stable_sort(newest_first, std::ranges::greater(), &cni::CachedAttachment::written);
    for (const auto* const cached : newest_first) {
      const auto network = as_cached(cached->list);
      if (may_be_a_network_of_ours(network) && network.name == cached->network)
        candidates_.emplace(network.name, candidate_of(network));
    }
  }

  Task task_of(const std::string& name, const Candidate& candidate) {
    const auto before = store_.undamaged_record(name);
    const auto last_good = before ? std::optional(before->made_of) : std::nullopt;
    const auto& netconf = last_good ? last_good->netconf : candidate.netconf;
    Task task{.plan = {name,
                       config::in_force(config::read_configuration(netconf), last_good,
                                        recorded_pods(store_, name)),
                       store_.subnets(name), false},
              .before = before,
              .network = {.name = name}};
    auto& plan = task.plan;
    if (before) plan.pod_subnets.insert(before->unrecorded.begin(), before->unrecorded.end());

    const auto others = node_ != nullptr ? subnets_of_others(*node_, name) : subnets_of_others(store_, name);
    auto unadopted = find_unadopted(store_, name, plan.configuration->netconf, cache_, others);
    pass_.warnings.insert(pass_.warnings.end(),
                          unadopted.problems.begin() + static_cast<std::ptrdiff_t>(cache_.problems.size()),
                          unadopted.problems.end());
    task.network.attachments = unadopted.attachments;
    adopt(std::move(unadopted), plan);
    if (!before && !cache_.is_listed && candidate.is_flannels && !store_.has_pods(name)) {
      plan.without_pods = own_subnets_of_flannel(plan.configuration->netconf);
      for (const auto& subnet : others) plan.without_pods.erase(subnet);
      task.network.without_pods = plan.without_pods;
    }
    const bool lacks_record = !before && store_.has_pods(name);
    task.is_needed =
        lacks_record || tells_of_unrecorded(task) || !plan.attachments.empty() || !plan.without_pods.empty();
    return task;
  }

  static std::set<net::Prefix> own_subnets_of_flannel(const config::Netconf& netconf) {
    const auto gateways = config::read_own_subnets(netconf.subnet_file);
    if (gateways.empty()) return {};
    const auto subnets = config::pod_subnets_of(netconf, gateways);
    return {subnets.begin(), subnets.end()};
  }

  bool tells_of_unrecorded(const Task& task) const {
    if (!task.before || !task.plan.has_all_pods) return false;
    const auto told = subnets_with_pods(store_, task.plan);
    return std::ranges::any_of(task.before->unrecorded,
                               [&told](const auto& subnet) { return told.contains(subnet); });
  }

  const state::Store& store_;
  const Node* node_;
  AdoptPass pass_;
  Candidates candidates_;
  cni::Cache cache_;
};

// By network.
std::vector<std::pair<std::string, cni::AttachmentId>> ended(const state::Store& store) {
  std::vector<std::pair<std::string, cni::AttachmentId>> found;
  for (const auto& [name, network] : store.load()) {
    for (const auto& attachment : network.attachments) {
      if (has_ended(attachment)) found.emplace_back(name, attachment.id);
    }
  }
  return found;
}

void carry_out(const Node& node, Task& task, AdoptPass& pass) {
  Transaction transaction(node);
  transaction.run([&] { transaction.settle(task.plan, task.before); });
  std::ranges::move(transaction.take_changes(), std::back_inserter(pass.changes));
  pass.networks.push_back(std::move(task.network));
}

}  // namespace

AdoptPass look_for_unadopted(const state::Store& store, const fs::path& conf_dir,
                             const std::vector<conflist::Network>& to_come) {
  Pass pass(store, conf_dir, nullptr, to_come);
  pass.for_each_task([&pass](Task& task) {
    const bool is_seen = !task.network.attachments.empty() || !task.network.without_pods.empty();
    if (is_seen) pass.result().networks.push_back(std::move(task.network));
  });
  return std::move(pass.result());
}

AdoptPass adopt_pass(const state::Store& store, netfilter::Kernel& kernel, const fs::path& conf_dir,
                     std::chrono::nanoseconds lock_timeout) {
  bool has_tasks = false;
  Pass look(store, conf_dir, nullptr);
  look.for_each_task([&has_tasks](const Task&) { has_tasks = true; });
  if (!has_tasks && ended(store).empty()) return std::move(look.result());

  // Once more, since pods end meanwhile.
  const Node node{kernel, store, lock_timeout};
  const auto lock = node.lock_exclusive();
  for (const auto& [network, id] : ended(store)) forget_attachment(node, network, id);
  for (const auto& network : store.networks()) store.put_in_order(network);
  Pass pass(store, conf_dir, &node);
  pass.for_each_task([&](Task& task) { carry_out(node, task, pass.result()); });
  return std::move(pass.result());
}

std::vector<std::string> texts_of(const UnadoptedNetwork& network) {
  std::vector<std::string> lines;
  for (const auto& attachment : network.attachments) {
    auto line = network.name + ":";
    if (!attachment.pod.empty()) line += " " + attachment.pod;
    for (const auto& address : attachment.addresses) line += " " + net::to_text(address);
    lines.push_back(line + " (" + attachment.id.container_id + " " + attachment.id.interface + ")");
  }
  for (const auto& subnet : network.without_pods) lines.push_back(network.name + ": " + net::to_text(subnet));
  return lines;
}

}  // namespace ipmasq::plugin
