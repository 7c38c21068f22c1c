#include <algorithm>
#include <ostream>

#include "cni/result.hpp"
#include "error/error.hpp"
#include "plugin/verbs/node_rules.hpp"
#include "plugin/verbs/verbs.hpp"
#include "plugin/verbs/wanted.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

namespace {

// What an ADD records.
struct Entry {
  std::string network;
  cni::Json netconf;
  state::Attachment attachment;
};

std::string pod_name(const std::string& args) {
  const auto space = cni::find_arg(args, "K8S_POD_NAMESPACE");
  const auto name = cni::find_arg(args, "K8S_POD_NAME");
  return space && name && cni::is_cni_name(*space) && cni::is_cni_name(*name) ? *space + "/" + *name : "";
}

Entry entry_of(const cni::Request& request, const config::Netconf& netconf) {
  if (!state::Store::is_network_name(request.network)) {
    throw Error(Kind::wrong_config,
                "name is \"" + request.network + "\": expected another, this one is a file of ip-masq's own");
  }
  const auto& environment = request.environment;
  const auto addresses = cni::addresses(cni::prev_result(request.netconf));
  return {.network = request.network,
          .netconf = config::known_keys(request.netconf),
          .attachment = {.id = {environment.container_id, environment.interface},
                         .addresses = addresses,
                         .pod_subnets = config::pod_subnets_of(netconf, addresses),
                         .pod = pod_name(environment.args)}};
}

// Whether the entry changes nothing of what is wanted of the kernel.
bool wants_nothing_new(const state::Network& recorded, const Entry& entry) {
  const auto& attachment = entry.attachment;
  const auto has_rules = [&](const net::Prefix& subnet) { return recorded.is_used(subnet, attachment.id); };
  const auto* const same = recorded.find(attachment.id);
  const bool same_subnets = same != nullptr ? same->pod_subnets == attachment.pod_subnets
                                            : std::ranges::all_of(attachment.pod_subnets, has_rules);
  return recorded.record && recorded.record->netconf == entry.netconf && recorded.broken.empty() &&
         same_subnets;
}

// Whether every network is where it should be, and nothing of it on its way.
bool has_settled(const Recorded& recorded, const NodeRules& rules) {
  const bool is_moving = std::ranges::any_of(recorded, [](const auto& network) {
    return network.second.record && !network.second.record->leaving.empty();
  });
  if (is_moving) return false;
  auto chosen = recorded;
  rules.choose_backends(chosen);
  return std::ranges::equal(chosen, recorded, [](const auto& left, const auto& right) {
    return left.second.record == right.second.record;
  });
}

// Puts back what was recorded before `entry`.
void restore(const state::Store& store, const Recorded& before, const Recorded& recorded,
             const Entry& entry) {
  const auto old = before.find(entry.network);
  const auto& id = entry.attachment.id;
  const auto* const same = old == before.end() ? nullptr : old->second.find(id);
  same != nullptr ? store.save(entry.network, *same) : store.forget(entry.network, id);
  for (const auto& [name, network] : before) {
    if (network.record && network.record != recorded.at(name).record) store.save(name, *network.record);
  }
  const bool was_empty = old == before.end() || (!old->second.record && old->second.is_empty());
  if (was_empty) store.forget_network(entry.network);
}

// The common case, beside other calls of its kind: nothing to change but the record.
bool attach_under_shared_lock(const state::Store& store, const Entry& entry, const NodeRules& rules,
                              std::chrono::nanoseconds lock_timeout) {
  const auto lock = store.lock_shared(lock_timeout);
  const auto recorded = store.load();
  const auto network = recorded.find(entry.network);
  if (network == recorded.end() || !wants_nothing_new(network->second, entry)) return false;
  if (!has_settled(recorded, rules) || !rules.differences(wanted_of(recorded)).empty()) return false;
  store.save(entry.network, entry.attachment);
  return true;
}

// The record comes first: rules without one would outlive a call that is killed.
void attach_under_exclusive_lock(const state::Store& store, const Entry& entry, const NodeRules& rules,
                                 std::chrono::nanoseconds lock_timeout) {
  const auto lock = store.lock_exclusive(lock_timeout);
  const auto before = store.load();
  auto recorded = before;
  auto& network = recorded[entry.network];
  network.name = entry.network;
  if (!network.record) network.record.emplace();
  network.record->netconf = entry.netconf;
  network.remove(entry.attachment.id);
  network.attachments.push_back(entry.attachment);

  try {
    rules.settle(recorded, before, [&](const Wanted& wanted) {
      store.save(entry.network, entry.attachment);
      const auto& problems = wanted.problems();
      const auto problem = problems.find(entry.network);
      if (problem != problems.end() && network.broken.empty()) {
        throw Error(Kind::wrong_config, problem->second);
      }
    });
  } catch (const Error& error) {
    // What cannot be put back either is left to the runtime's DEL.
    try {
      restore(store, before, recorded, entry);
      rules.apply(wanted_of(before), before);
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): the first error is the one to tell
    }
    throw error;
  }
}

}  // namespace

void add(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& output) {
  const auto netconf = config::effective_netconf(request.netconf);
  const auto entry = entry_of(request, netconf);

  const state::Store store(netconf.state_dir);
  const NodeRules rules(kernel, store, netconf.lock_timeout);
  if (!attach_under_shared_lock(store, entry, rules, netconf.lock_timeout)) {
    attach_under_exclusive_lock(store, entry, rules, netconf.lock_timeout);
  }
  output << cni::result_json(cni::prev_result(request.netconf), request.cni_version) << std::endl;
  if (!output) throw Error(Kind::failed, "cannot write the result to stdout");
}

}  // namespace ipmasq::plugin
