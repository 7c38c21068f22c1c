#include "plugin/verbs/transaction.hpp"

#include <algorithm>
#include <iterator>
#include <new>
#include <utility>

#include "config/netconf_reading.hpp"
#include "error/error.hpp"
#include "plugin/verbs/policies.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

namespace {

// What is known of by name beside what files and markers tell.
std::set<net::Prefix> known_beside(std::set<net::Prefix> told, const Plan& plan,
                                   const std::optional<state::NetworkRecord>& before) {
  told.insert(plan.gone.begin(), plan.gone.end());
  if (before) told.insert(before->unrecorded.begin(), before->unrecorded.end());
  return told;
}

// A long list that changes whole is told in 20,000 lines.
void append(std::vector<std::string>& lines, std::vector<std::string> more) {
  if (lines.empty()) return lines.swap(more);
  std::ranges::move(more, std::back_inserter(lines));
}

// Also where a call that was to lead pods by other policies was killed.
bool are_policies_new(const state::NetworkRecord& now, const state::NetworkRecord& before) {
  return now.changed_from &&
         (has_policies(now.made_of) || has_policies(before.made_of) || has_policies(*now.changed_from));
}

// Of addresses that no record tells of, what the back end that may be left knows of them.
void add_standing_policies(const Node& node, Plan& plan) {
  if (!has_policies(config::made_of(*plan.configuration))) return;
  for (const auto backend : config::all_backends) {
    if (!node.open(backend)->may_hold_rules()) continue;
    for (const auto& source : node.open(backend)->sources()) {
      if (source.network == plan.network && !source.policy.empty())
        plan.policies.try_emplace(source.prefix, source.policy);
    }
  }
}

}  // namespace

void Transaction::run(const std::function<void()>& steps) {
  try {
    steps();
  } catch (const Error& error) {
    const auto left = roll_back();
    if (left.empty()) throw;
    throw Error(error.kind(), std::string(error.what()) + left, error.details());
  } catch (const std::bad_alloc&) {
    throw Error(Kind::failed, "out of memory" + roll_back());
  } catch (const std::exception& error) {
    throw Error(Kind::failed, error.what() + roll_back());
  }
}

// What an earlier step recorded stays where a later one cannot be taken back: it is what the next call needs
// to know.
std::string Transaction::roll_back() {
  node_.look_anew();
  while (!way_back_.empty()) {
    const auto step = std::move(way_back_.back());
    way_back_.pop_back();
    try {
      step();
    } catch (const std::exception& error) {
      way_back_.clear();
      return std::string("; what was changed before could not be taken back (") + error.what() +
             ") and stays recorded: the next call for this network, or ip-masq sync, mends it";
    }
  }
  return "";
}

void Transaction::save(const std::string& network, const state::NetworkRecord& record,
                       const std::optional<state::NetworkRecord>& before) {
  if (record == before) return;
  // A damaged one is put back as it was.
  way_back_.emplace_back([this, network, before = node_.store.record_text(network)] {
    before                          ? node_.store.save_record_text(network, *before)
    : node_.store.has_pods(network) ? node_.store.forget_record(network)
                                    : node_.store.forget_network(network);
  });
  node_.store.save(network, record);
}

void Transaction::save(const std::string& network, const state::Attachment& attachment) {
  way_back_.emplace_back(
      [this, network, id = attachment.id, before = node_.store.attachment(network, attachment.id)] {
        before ? node_.store.save(network, *before) : node_.store.forget(network, id);
      });
  node_.store.save(network, attachment);
}

void Transaction::forget(const std::string& network, const cni::AttachmentId& id) {
  auto before = node_.store.attachment(network, id);
  auto marked = before ? std::set<net::Prefix>{} : node_.store.marked(network, id);
  way_back_.emplace_back([this, network, id, before = std::move(before), marked = std::move(marked)] {
    before ? node_.store.save(network, *before) : node_.store.mark(network, id, marked);
  });
  node_.store.forget(network, id);
}

void Transaction::apply(config::Backend backend, const nat::Ruleset& ruleset) {
  auto change = node_.open(backend)->apply(ruleset);
  append(changes_, std::move(change.lines));
  way_back_.push_back(std::move(change.undo));
}

// By files and markers alike.
std::set<net::Prefix> Transaction::subnets_told(const std::string& network) const {
  node_.store.restore_markers(network);
  auto subnets = node_.store.subnets(network);
  subnets.merge(node_.store.hosts(network));
  return subnets;
}

// A back end that the network leaves, or comes to, gets all that it has: what stands and nobody tells of is
// of pods that may live.
void Transaction::take_all_along(const std::optional<state::NetworkRecord>& before,
                                 state::NetworkRecord& record, Plan& plan) const {
  auto told = subnets_told(plan.network);
  if (!before || !plan.has_all_subnets)
    record.unrecorded.merge(standing_beside(known_beside(told, plan, before), plan.network, node_));
  if (plan.has_all_subnets) return;
  for (const auto& subnet : plan.gone) told.erase(subnet);
  plan.pod_subnets.merge(told);
  plan.has_all_subnets = true;
  lead_all_by_policy(node_.store, plan);
  add_standing_policies(node_, plan);
}

// Of whose pods nothing is recorded, though they may live: none of those whose pods are all known.
std::set<net::Prefix> Transaction::unrecorded_of(const Plan& plan, std::set<net::Prefix> unrecorded) const {
  unrecorded.insert(plan.without_pods.begin(), plan.without_pods.end());
  if (plan.has_all_pods) {
    const auto with_pods = subnets_with_pods(node_.store, plan);
    std::erase_if(unrecorded, [&](const auto& subnet) { return with_pods.contains(subnet); });
  }
  return unrecorded;
}

// Policies that changed are those of running pods as well.
void Transaction::lead_all(const std::optional<state::NetworkRecord>& before, state::NetworkRecord& record,
                           Plan& plan) const {
  const auto stored = node_.store.load(plan.network);
  if (!stored.unread.empty()) throw Error(Kind::failed, stored.unread.front());
  if (stored.lacks_markers) node_.store.restore_markers(plan.network);  // a call was killed that led them so
  auto subnets = stored.wanted_subnets();
  record.unrecorded.merge(standing_beside(known_beside(subnets, plan, before), plan.network, node_));
  for (const auto& subnet : plan.gone) subnets.erase(subnet);
  plan.pod_subnets.merge(subnets);
  plan.has_all_subnets = stored.is_complete;
  lead_by_policy(node_.store, stored.attachments, plan);
}

std::set<net::Prefix> Transaction::subnets_to_come(const Plan& plan) const {
  auto subnets = plan.pod_subnets;
  if (plan.has_all_subnets) return subnets;
  subnets.merge(node_.store.hosts(plan.network));
  for (const auto& subnet : plan.gone) subnets.erase(subnet);
  return subnets;
}

void Transaction::leave_other_backend(const std::string& network, const state::NetworkRecord& on_its_way) {
  apply(*on_its_way.placement.leaving, moved_away(network));
  auto arrived = on_its_way;
  arrived.placement.leaving.reset();
  save(network, arrived, on_its_way);
}

bool Transaction::settle(const Plan& plan, const std::optional<state::NetworkRecord>& before) {
  auto record = record_of(node_, plan, before);
  auto wanted = plan;
  const bool moves = !before || before->placement.on != record.placement.on || record.placement.leaving;
  if (moves)
    take_all_along(before, record, wanted);
  else if (!plan.has_all_subnets && are_policies_new(record, *before))
    lead_all(before, record, wanted);
  record.unrecorded = unrecorded_of(plan, std::move(record.unrecorded));
  wanted.pod_subnets.insert(record.unrecorded.begin(), record.unrecorded.end());
  if (!record.shared_subnets.empty()) {
    record.shared_subnets = record.shared_by(subnets_to_come(wanted));
    wanted.shared_subnets = record.shared_subnets;
  }

  save(plan.network, record, before);
  for (const auto& attachment : wanted.attachments) save(plan.network, attachment);
  const auto placement = record.placement;
  const bool are_to_follow = record.changed_from.has_value();
  // Its lists may be long, and are held elsewhere.
  if (!placement.leaving) record = {};
  apply(placement.on, ruleset_of(wanted));
  if (placement.leaving) leave_other_backend(plan.network, record);
  return are_to_follow;
}

void forget_network_without_pods(const state::Store& store, const std::string& network) {
  try {
    if (!store.has_pods(network)) store.forget_network(network);
  } catch (const Error& error) {
    throw Error(error.kind(),
                std::string(error.what()) + "; what was to be forgotten is, and files of network " + network +
                    " are left: the same call again removes them",
                error.details());
  }
}

}  // namespace ipmasq::plugin
