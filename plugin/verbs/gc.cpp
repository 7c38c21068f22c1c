#include <algorithm>
#include <functional>

#include "config/netconf_reading.hpp"
#include "error/error.hpp"
#include "plugin/verbs/policies.hpp"
#include "plugin/verbs/recorded.hpp"
#include "plugin/verbs/transaction.hpp"
#include "plugin/verbs/verbs.hpp"

namespace ipmasq::plugin {

namespace {

constexpr auto rules_stay = "rules of pods that are gone stay until a GC can take them along";
constexpr auto nothing_is_forgotten = "all attachments stay recorded: the next GC tries again";

// Does one thing after the other, and tells of all that failed at the end.
class Attempts {
 public:
  bool run(const std::function<void()>& attempt) {
    try {
      attempt();
      return true;
    } catch (const Error& error) {
      if (messages_.empty()) kind_ = error.kind();
      tell(error.what());
      return false;
    }
  }

  void tell(const std::string& message) { messages_ += (messages_.empty() ? "" : "; ") + message; }

  void throw_failures() const {
    if (!messages_.empty()) throw Error(kind_, messages_);
  }

 private:
  Kind kind_{};
  std::string messages_;
};

std::vector<cni::AttachmentId> ids_in(const state::Network& network) {
  auto ids = network.damaged_ids;
  for (const auto& attachment : network.attachments) ids.push_back(attachment.id);
  return ids;
}

bool are_recorded(const std::vector<cni::AttachmentId>& valid, const state::Network& network) {
  return std::ranges::all_of(valid, [&network](const auto& id) { return network.find(id) != nullptr; });
}

// What of `network` is valid; where all of `valid` is recorded, that is all that lives.
state::Network without_stale(const state::Store& store, state::Network network,
                             const std::vector<cni::AttachmentId>& valid) {
  const auto is_stale = [&valid](const cni::AttachmentId& id) {
    return std::ranges::find(valid, id) == valid.end();
  };
  std::erase_if(network.attachments, [&](const auto& each) { return is_stale(each.id); });
  std::erase_if(network.damaged_ids, is_stale);
  if (network.damaged_ids.empty()) network.is_complete = true;
  network.pod_subnets.clear();
  for (const auto& id : network.damaged_ids) network.pod_subnets.merge(store.marked(network.name, id));
  for (const auto& attachment : network.attachments)
    network.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
  if (are_recorded(valid, network) && network.record) network.record->unrecorded.clear();
  return network;
}

// A network that nothing good is recorded of is made of what the call says.
Plan plan_of(const state::Store& store, const state::Network& network, const cni::Request& request) {
  const auto last_good = network.record ? std::optional(network.record->made_of) : std::nullopt;
  const auto& netconf = last_good ? last_good->netconf : request.netconf;
  Plan plan{network.name, config::in_force(netconf, last_good, pods_among(network.wanted_subnets())),
            network.wanted_subnets(), network.is_complete};
  lead_by_policy(store, network.attachments, plan);
  return plan;
}

void forget(const Node& node, const std::string& network, const cni::AttachmentId& id) {
  Transaction transaction(node);
  try {
    transaction.run([&] { transaction.forget(network, id); });
  } catch (const Error& error) {
    throw Error(error.kind(),
                std::string(error.what()) + "; the attachment of " + id.container_id + " (" + id.interface +
                    ") stays recorded, though its rules may be gone: the next GC, or its DEL, forgets it",
                error.details());
  }
}

// Rules that could not be taken along are known of until a later GC takes them.
void keep_word_of_rules(const state::Store& store, const state::Network& recorded,
                        const state::Network& living) {
  const auto before = store.undamaged_record(recorded.name);
  if (!before) return;  // the next ADD looks which stand
  auto record = *before;
  for (const auto& subnet : recorded.pod_subnets) {
    if (!living.pod_subnets.contains(subnet)) record.unrecorded.insert(subnet);
  }
  if (record != before) store.save(recorded.name, record);
}

void take_all_rules(const Node& node, const std::string& network) {
  Transaction transaction(node);
  transaction.run([&] {
    for (const auto backend : config::all_backends) {
      if (node.open(backend)->may_hold_rules()) transaction.apply(backend, nothing_of(network));
    }
  });
}

// Where nothing is recorded of pods that live, their rules stay as they are.
void bring_rules_to(const Node& node, const state::Network& network,
                    const std::optional<state::NetworkRecord>& before, const cni::Request& request) {
  if (network.wanted_subnets().empty() && network.is_complete) return take_all_rules(node, network.name);
  Transaction transaction(node);
  transaction.run([&] {
    if (before && *before != *network.record) transaction.save(network.name, *network.record, before);
    transaction.settle(plan_of(node.store, network, request), network.record);
  });
}

}  // namespace

void gc(const cni::Request& request, netfilter::Kernel& kernel) {
  const auto lock_timeout = config::parse_lock_timeout(request.netconf);
  const auto valid = cni::valid_attachments(request.netconf);
  const state::Store store(config::parse_state_dir(request.netconf));
  const Node node{kernel, store, lock_timeout};
  const auto lock = node.lock_exclusive();
  store.put_in_order(request.network);

  auto recorded = store.load(request.network);
  if (recorded.lacks_markers) store.restore_markers(request.network);
  recorded.record = store.undamaged_record(request.network);
  auto living = without_stale(store, recorded, valid);
  auto stale = ids_in(recorded);
  std::erase_if(stale, [&valid](const auto& id) { return std::ranges::find(valid, id) != valid.end(); });

  Attempts attempts;
  const bool nothing_is_known = !living.record && !living.has_pods() && !are_recorded(valid, living);
  const bool rules_are_right = nothing_is_known || attempts.run([&] {
    if (living.record && !are_recorded(valid, living))
      living.record->unrecorded.merge(standing_beside(recorded.wanted_subnets(), request.network, node));
    bring_rules_to(node, living, recorded.record, request);
  });
  const bool may_forget =
      rules_are_right || attempts.run([&] { keep_word_of_rules(store, recorded, living); });
  if (!rules_are_right && !stale.empty()) attempts.tell(may_forget ? rules_stay : nothing_is_forgotten);
  for (const auto& id : stale) {
    if (may_forget) attempts.run([&] { forget(node, request.network, id); });
  }
  // What is recorded of a network without attachments stays where rules could not be removed: the next call
  // tries again.
  const bool keeps_rules = living.record && !living.record->unrecorded.empty();
  if (rules_are_right && !living.has_pods() && !keeps_rules) {
    attempts.run([&] { forget_network_without_pods(store, request.network); });
  }
  attempts.throw_failures();
}

}  // namespace ipmasq::plugin
