#include <algorithm>

#include "error/error.hpp"
#include "plugin/verbs/plan.hpp"
#include "plugin/verbs/transaction.hpp"
#include "plugin/verbs/verbs.hpp"

namespace ipmasq::plugin {

namespace {

// A list that is broken by now must not keep a pod from ending.
std::chrono::nanoseconds lock_timeout_of(const cni::Json& netconf) {
  try {
    return config::parse_netconf(netconf).lock_timeout;
  } catch (const Error&) {
    return config::Netconf{}.lock_timeout;
  }
}

// One DEL. Asks the kernel for nothing, and reads no record but its own, unless it is the last of a pod
// subnet.
class Deleting {
 public:
  Deleting(const Node& node, std::string network, cni::AttachmentId id)
      : node_(node), network_(std::move(network)), id_(std::move(id)) {}

  void run() {
    node_.store.put_in_order(network_);
    const auto unused = subnets_that_go();
    // A damaged one must not keep a pod from ending either: its rules may then be anywhere.
    const auto record = node_.store.undamaged_record(network_);
    std::set<net::Prefix> gone;
    std::ranges::copy_if(unused, std::inserter(gone, gone.end()), [&](const net::Prefix& subnet) {
      return !record || !record->unrecorded.contains(subnet);
    });
    Transaction transaction(node_);
    transaction.run([&] {
      if (!gone.empty()) take_rules_along(transaction, gone, record);
      transaction.forget(network_, id_);
    });
    const bool keeps_rules = record && !record->unrecorded.empty();
    if (!keeps_rules) forget_network_without_pods(node_.store, network_);
  }

 private:
  // The pod subnets of this attachment that nobody else is in.
  std::vector<net::Prefix> subnets_that_go() const {
    std::vector<net::Prefix> subnets;
    if (const auto attachment = node_.store.attachment(network_, id_)) {
      subnets = attachment->pod_subnets;
    } else {
      for (const auto& subnet : node_.store.marked(network_, id_)) subnets.push_back(subnet);
    }
    std::erase_if(subnets, [this](const auto& subnet) { return node_.store.is_used(network_, subnet, id_); });
    return subnets;
  }

  void take_rules_along(Transaction& transaction, const std::set<net::Prefix>& gone,
                        const std::optional<state::NetworkRecord>& record) const {
    for (const auto backend : config::all_backends) {
      const bool is_on = record && record->placement.on == backend;
      const bool is_left = record && record->placement.leaving == backend;
      if (record ? is_on || is_left : node_.open(backend)->may_hold_rules())
        transaction.apply(backend, is_left ? nothing_of(network_) : ruleset_without(gone, record));
    }
  }

  // The chain as it was made, less what it kept for the pod subnets that go; where nobody knows, as it
  // stands.
  nat::Ruleset ruleset_without(const std::set<net::Prefix>& gone,
                               const std::optional<state::NetworkRecord>& record) const {
    nat::Ruleset ruleset;
    auto staying = node_.store.subnets(network_);
    for (const auto& subnet : gone) staying.erase(subnet);
    if (record) {
      staying.insert(record->unrecorded.begin(), record->unrecorded.end());
      try {
        ruleset = ruleset_of({network_, config::as_made(record->made_of), staying, false, gone});
      } catch (const Error&) {  // NOLINT(bugprone-empty-catch): a list that is broken by now
      }
    }
    for (const auto& subnet : gone) ruleset.gone.insert({subnet, network_});
    return ruleset;
  }

  Node node_;
  std::string network_;
  cni::AttachmentId id_;
};

}  // namespace

void forget_attachment(const Node& node, const std::string& network, const cni::AttachmentId& id) {
  Deleting(node, network, id).run();
}

void del(const cni::Request& request, netfilter::Kernel& kernel) {
  const state::Store store(config::parse_state_dir(request.netconf));
  if (!store.exists() || !state::Store::is_network_name(request.network)) return;
  const auto lock_timeout = lock_timeout_of(request.netconf);
  const auto lock = store.lock_exclusive(lock_timeout);
  forget_attachment({kernel, store, lock_timeout}, request.network,
                    {request.environment.container_id, request.environment.interface});
}

}  // namespace ipmasq::plugin
