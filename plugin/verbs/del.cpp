#include <algorithm>
#include <utility>

#include "config/defaults.hpp"
#include "config/netconf_reading.hpp"
#include "error/error.hpp"
#include "nat/network.hpp"
#include "plugin/verbs/adoption.hpp"
#include "plugin/verbs/plan.hpp"
#include "plugin/verbs/transaction.hpp"
#include "plugin/verbs/verbs.hpp"

namespace ipmasq::plugin {

namespace {

// A list that is broken by now must not keep a pod from ending.
std::chrono::nanoseconds lock_timeout_of(const cni::Json& netconf) {
  try {
    return config::parse_lock_timeout(netconf);
  } catch (const Error&) {
    return config::default_lock_timeout;
  }
}

// One DEL. Asks the kernel for nothing, and reads no file but its own and a neighbour's, unless it is the
// last of a pod subnet.
class Deleting {
 public:
  Deleting(Node node, std::string network, cni::AttachmentId id)
      : node_(std::move(node)), network_(std::move(network)), id_(std::move(id)) {}

  void run() {
    for (const auto& id : ended_neighbours()) Deleting(node_, network_, id).forget();
    forget();
  }

 private:
  // Those that were adopted and have ended, before one is met that lives: whoever made them sends no DEL.
  std::set<cni::AttachmentId> ended_neighbours() const {
    std::set<cni::AttachmentId> ended;
    const auto lives = [&](const cni::AttachmentId& id) {
      if (id == id_) return false;
      const auto attachment = node_.store.attachment(network_, id);
      if (!attachment || !has_ended(*attachment)) return true;
      ended.insert(id);
      return false;
    };
    for (const auto& subnet : node_.store.subnets_of(network_, id_))
      node_.store.is_used(network_, subnet, lives);
    node_.store.has_pod(network_, lives);
    return ended;
  }

  void forget() {
    node_.store.put_in_order(network_);
    const auto unused = subnets_that_go();
    bool is_needed = true;
    Transaction transaction(node_);
    transaction.run([&] {
      if (!unused.empty()) take_rules_along(transaction, unused);
      transaction.forget(network_, id_);
      is_needed = node_.store.has_pods(network_) || has_unrecorded_pods();
    });
    if (!is_needed) forget_network_without_pods(node_.store, network_);
  }

  // The pod subnets of this attachment that nobody else is in.
  std::vector<net::Prefix> subnets_that_go() const {
    const auto own = node_.store.subnets_of(network_, id_);
    std::vector<net::Prefix> subnets(own.begin(), own.end());
    const auto erase_used = [&] {
      const auto is_other = [this](const auto& id) { return id != id_; };
      std::erase_if(subnets, [&](const auto& each) { return node_.store.is_used(network_, each, is_other); });
    };
    erase_used();
    // A marker too few must cost no neighbour its rules; an address of its own has no neighbours.
    if (std::ranges::all_of(subnets, &net::Prefix::is_host)) return subnets;
    node_.store.restore_markers(network_);
    erase_used();
    return subnets;
  }

  bool has_unrecorded_pods() const {
    const auto record = node_.store.undamaged_record(network_);
    return record && !record->unrecorded.empty();
  }

  void take_rules_along(Transaction& transaction, const std::vector<net::Prefix>& unused) const {
    // A damaged one must not keep a pod from ending either: its rules may then be anywhere.
    const auto record = node_.store.undamaged_record(network_);
    std::set<net::Prefix> gone(unused.begin(), unused.end());
    if (record) {
      for (const auto& subnet : record->unrecorded) gone.erase(subnet);
    }
    if (gone.empty()) return;
    for (const auto backend : config::all_backends) {
      const bool is_on = record && record->placement.on == backend;
      const bool is_left = record && record->placement.leaving == backend;
      if (record ? is_on || is_left : node_.open(backend)->may_hold_rules())
        transaction.apply(backend, is_left ? moved_away(network_) : ruleset_without(gone, record, backend));
    }
  }

  // The chain as it was made, less what it kept for the pod subnets that go; where nobody knows, as it
  // stands.
  nat::Ruleset ruleset_without(const std::set<net::Prefix>& gone,
                               const std::optional<state::NetworkRecord>& record,
                               config::Backend backend) const {
    nat::Ruleset ruleset;
    auto staying = node_.store.subnets(network_);
    for (const auto& subnet : gone) staying.erase(subnet);
    if (record) {
      staying.insert(record->unrecorded.begin(), record->unrecorded.end());
      try {
        ruleset = ruleset_of({.network = network_,
                              .configuration = config::as_made(record->made_of),
                              .pod_subnets = staying,
                              .has_all_subnets = false,
                              .gone = gone,
                              .shared_subnets = shared_without(gone, *record)});
      } catch (const Error&) {  // NOLINT(bugprone-empty-catch): a list that is broken by now
      }
    }
    for (const auto& subnet : gone) ruleset.gone.insert({subnet, network_});
    const bool is_last = record && staying.empty() && !node_.store.has_host_beside(network_, gone);
    if (const auto marks = is_last ? marks_of_others(gone, backend) : std::nullopt) {
      ruleset.yield_marks = *marks;
      ruleset.has_all_marks = true;
    }
    return ruleset;
  }

  std::set<net::Prefix> shared_without(const std::set<net::Prefix>& gone,
                                       const state::NetworkRecord& record) const {
    if (record.shared_subnets.empty()) return {};
    auto addresses = node_.store.hosts(network_);
    for (const auto& subnet : gone) addresses.erase(subnet);
    addresses.insert(record.unrecorded.begin(), record.unrecorded.end());
    return record.shared_by(addresses);
  }

  // Of the other networks in a back end; nullopt where nobody knows them all, or `gone` is not all that this
  // network has.
  std::optional<std::vector<config::Mark>> marks_of_others(const std::set<net::Prefix>& gone,
                                                           config::Backend backend) const {
    std::vector<nat::Network> others;
    std::set<std::string> names;
    try {
      for (const auto& source : node_.open(backend)->sources()) {
        if (source.network != network_) names.insert(source.network);
        if (source.network == network_ && !gone.contains(source.prefix)) return std::nullopt;
      }
      for (const auto& name : names) {
        const auto record = node_.store.record(name);
        if (!record) return std::nullopt;
        others.push_back(
            {.name = name, .netconf = netconf_of(config::as_made(record->made_of)), .has_more = true});
      }
    } catch (const Error&) {
      return std::nullopt;
    }
    return nat::wanted_ruleset(others).yield_marks;
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
  const Node node{kernel, store, lock_timeout_of(request.netconf)};
  const auto lock = node.lock_exclusive();
  forget_attachment(node, request.network, {request.environment.container_id, request.environment.interface});
}

}  // namespace ipmasq::plugin
