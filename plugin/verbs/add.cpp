#include <algorithm>
#include <iostream>
#include <iterator>
#include <ostream>

#include "cni/result.hpp"
#include "config/in_force.hpp"
#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "plugin/verbs/adoption.hpp"
#include "plugin/verbs/attachment.hpp"
#include "plugin/verbs/changed_flows.hpp"
#include "plugin/verbs/neighbours.hpp"
#include "plugin/verbs/others.hpp"
#include "plugin/verbs/own_address.hpp"
#include "plugin/verbs/plan.hpp"
#include "plugin/verbs/policies.hpp"
#include "plugin/verbs/transaction.hpp"
#include "plugin/verbs/verbs.hpp"

namespace ipmasq::plugin {

namespace {

constexpr auto could_not_adopt = "pods that were there before could not be adopted: ";

cni::Json runtime_config(const cni::Json& netconf) {
  const auto found = netconf.find("runtimeConfig");
  return found == netconf.end() ? cni::Json() : *found;
}

// One ADD, from the request to the record.
class Adding {
 public:
  Adding(const cni::Request& request, netfilter::Kernel& kernel)
      : reading_(config::read_configuration(request.netconf)),
        store_(reading_.netconf.state_dir),
        node_{kernel, store_, reading_.netconf.lock_timeout},
        network_(request.network),
        attachment_(attachment_of({request.environment.container_id, request.environment.interface},
                                  {request.environment.args, runtime_config(request.netconf)},
                                  cni::prev_result(request.netconf), reading_.netconf,
                                  store_.subnets(network_))),
        lans_(lans_of(attachment_)),
        shared_(lans_) {}

  void run() {
    if (has_new_address() || !under_shared_lock()) under_exclusive_lock();
  }

  const std::vector<std::string>& problems() const { return problems_; }

 private:
  // What was good last of wrong files, as another network of this node knows it that has the same ones.
  std::optional<config::MadeOf> known_by_others() const {
    for (const auto& other : store_.networks()) {
      const auto record = other == network_ ? std::nullopt : store_.undamaged_record(other);
      if (!record) continue;
      const auto theirs = config::parse_netconf(record->made_of.netconf);
      if (theirs.config_file != reading_.netconf.config_file ||
          theirs.subnet_file != reading_.netconf.subnet_file)
        continue;
      return config::MadeOf{reading_.keys, record->made_of.file, record->made_of.cluster_networks};
    }
    return std::nullopt;
  }

  Plan plan_beside(const std::optional<state::NetworkRecord>& before) {
    auto last_good = before ? std::optional(before->made_of) : std::nullopt;
    if (!last_good && !reading_.problems.empty()) last_good = known_by_others();
    auto configuration = config::in_force(reading_, last_good, [this](net::Family family) {
      return std::ranges::any_of(attachment_.addresses,
                                 [family](const auto& each) { return each.address.family == family; }) ||
             recorded_pods(store_, network_)(family);
    });
    problems_ = configuration->problems;
    has_policies_ = !configuration->netconf.policies.empty();
    lead_by_policy(attachment_, configuration->netconf);
    auto subnets = store_.subnets(network_);
    subnets.insert(attachment_.pod_subnets.begin(), attachment_.pod_subnets.end());
    if (before) subnets.insert(before->unrecorded.begin(), before->unrecorded.end());
    Plan plan{network_, std::move(configuration), std::move(subnets), false, {}, {attachment_}};
    plan.shared_subnets = recorded_shared_subnets(store_, network_, before);
    plan.shared_subnets.insert(shared_.begin(), shared_.end());
    lead_planned_by_policy(plan);
    return plan;
  }

  // Where the same container was in other pod subnets before, those that nobody else is in.
  void leave_earlier_subnets(const std::optional<state::NetworkRecord>& before, Plan& plan) const {
    const auto same = store_.attachment(network_, attachment_.id);
    if (!same || same->pod_subnets == attachment_.pod_subnets) return;
    store_.restore_markers(network_);
    for (const auto& subnet : same->pod_subnets) {
      const bool stays =
          std::ranges::find(attachment_.pod_subnets, subnet) != attachment_.pod_subnets.end() ||
          (before && before->unrecorded.contains(subnet)) ||
          store_.is_used(network_, subnet, [&same](const auto& id) { return id != same->id; });
      if (stays) continue;
      plan.pod_subnets.erase(subnet);
      plan.gone.insert(subnet);
    }
  }

  void leave_to(const std::set<net::Prefix>& others, const std::optional<state::NetworkRecord>& before) {
    if (others.empty()) return;
    auto own = store_.subnets(network_);
    if (before) own.insert(before->unrecorded.begin(), before->unrecorded.end());
    shared_.merge(leave_to_others(attachment_, own, others));
  }

  // Which leads by a rule of its own that is still to come: there is no need to look whether it stands.
  bool has_new_address() const {
    const auto any = [](const cni::AttachmentId&) { return true; };
    return std::ranges::any_of(attachment_.pod_subnets, [&](const auto& each) {
      return each.is_host() && !store_.is_used(network_, each, any);
    });
  }

  // The common case, beside other calls of its kind: nothing to change but the record.
  bool under_shared_lock() {
    const auto lock = node_.lock_shared();
    const Neighbours neighbours(node_, network_, attachment_);
    const auto before = store_.undamaged_record(network_);
    if (!before || before->is_carried_over || before->placement.leaving || before->changed_from ||
        is_the_first(before) || !new_lans().empty() || neighbours.are_in_our_place())
      return false;
    const auto same = store_.attachment(network_, attachment_.id);
    leave_to(neighbours.subnets(), before);
    const auto plan = plan_beside(before);
    if (has_new_address()) return false;  // by its policy
    if (same ? *same != attachment_ : store_.has_attachment(network_, attachment_.id)) return false;
    if (has_policies_ && neighbours.has_address_of_ours(attachment_.id)) return false;
    const auto on = before->placement.on;
    const bool is_planned = std::ranges::includes(before->shared_subnets, shared_) &&
                            before->made_of == plan.configuration->made_of &&
                            choose_backend(node_, plan, before, netfilter::Tables::may_be_made) == on;
    if (!is_planned) return false;
    const auto look = node_.open(on)->look(ruleset_of(plan));
    if (!look.differences.empty() || neighbours.decide(look, on, plan)) return false;
    Transaction transaction(node_);
    transaction.run([&] { transaction.save(network_, attachment_); });
    return true;
  }

  void under_exclusive_lock() {
    const auto lock = node_.lock_exclusive();
    store_.put_in_order(network_);
    const auto before = store_.undamaged_record(network_);
    Neighbours neighbours(node_, network_, attachment_);
    leave_to(neighbours.subnets(), before);
    neighbours.look(before, reading_.netconf, is_new());
    leave_to(neighbours.subnets(), before);
    auto left = neighbours.contested();
    shared_.insert(left.begin(), left.end());
    left.merge(new_lans());
    auto plan = plan_beside(before);
    leave_earlier_subnets(before, plan);
    for (const auto& host : neighbours.led_by_policy()) {
      if (!plan.pod_subnets.contains(host)) plan.gone.insert(host);
    }
    if (!left.empty()) leave_subnets(left, before, plan);
    if (!is_the_first(before) || !settle_with_adopted(plan, before, neighbours))
      settle(plan, before, neighbours);
    tell(settle_others(node_, network_));
    if (auto other = neighbours.still_met_first(plan)) problems_.push_back(*std::move(other));
  }

  // Pod subnets of ours that turned out to be a LAN that the node itself is on, whose other hosts are no
  // pods.
  std::set<net::Prefix> new_lans() const {
    if (lans_.empty()) return {};
    auto known = store_.subnets(network_);
    std::erase_if(known, [this](const auto& each) { return !lans_.contains(each); });
    return known;
  }

  // The network's pods lead by their own addresses from now on.
  void leave_subnets(const std::set<net::Prefix>& left, const std::optional<state::NetworkRecord>& before,
                     Plan& plan) const {
    const auto own = store_.subnets(network_);
    const auto stored = store_.load(network_);
    for (auto attachment : stored.attachments) {
      const bool was_there =
          attachment.id != attachment_.id && !leave_to_others(attachment, own, left).empty();
      if (!was_there) continue;
      plan.pod_subnets.insert(attachment.pod_subnets.begin(), attachment.pod_subnets.end());
      plan.attachments.push_back(std::move(attachment));
    }
    for (const auto& subnet : left) {
      if (!stored.damaged_ids.empty() || (before && before->unrecorded.contains(subnet))) continue;
      plan.pod_subnets.erase(subnet);
      plan.gone.insert(subnet);
    }
  }

  // Whether the network comes to pod subnets that nobody is recorded in; a single address takes nobody
  // else's pods along.
  bool is_new() const {
    const auto known = store_.subnets(network_);
    return std::ranges::any_of(attachment_.pod_subnets, [&known](const auto& each) {
      return !each.is_host() && !known.contains(each);
    });
  }

  void tell(std::vector<std::string> lines) { std::ranges::move(lines, std::back_inserter(problems_)); }

  void settle(const Plan& plan, const std::optional<state::NetworkRecord>& before,
              const Neighbours& neighbours) {
    Transaction transaction(node_);
    std::vector<std::string> taken_over;
    bool are_to_follow = false;
    transaction.run([&] {
      taken_over = neighbours.take_over(transaction, has_policies_);
      are_to_follow = transaction.settle(plan, before);
    });
    tell(std::move(taken_over));
    if (!are_to_follow) return;
    if (auto problem = end_changed_flows(node_, network_).problem; !problem.empty())
      problems_.push_back(std::move(problem));
  }

  // Others may have been there before us, or their record may be lost.
  bool is_the_first(const std::optional<state::NetworkRecord>& before) const {
    return !before || (!before->unrecorded.empty() && !store_.has_pods(network_));
  }

  // Whether it was done. What is wrong with others must not keep this pod from its start.
  bool settle_with_adopted(Plan plan, const std::optional<state::NetworkRecord>& before,
                           const Neighbours& neighbours) {
    for (const auto& problem : adopt_beside(attachment_.id, node_, plan))
      problems_.push_back(could_not_adopt + problem);
    if (plan.attachments.size() == 1 && !plan.has_all_pods) return false;
    try {
      settle(plan, before, neighbours);
      return true;
    } catch (const Error& error) {
      problems_.push_back(std::string(could_not_adopt) + error.what());
      return false;
    }
  }

  config::Reading reading_;
  state::Store store_;
  Node node_;
  std::string network_;
  state::Attachment attachment_;
  bool has_policies_ = false;
  std::set<net::Prefix> lans_;    // that the pod stands in
  std::set<net::Prefix> shared_;  // these, and pod subnets of other networks: its address alone leads
  std::vector<std::string> problems_;
};

}  // namespace

void add(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& output,
         std::ostream& warnings) {
  if (!state::Store::is_network_name(request.network)) {
    throw Error(Kind::wrong_config,
                "name is \"" + request.network + "\": expected another, this one is a file of ip-masq's own");
  }
  Adding adding(request, kernel);
  adding.run();
  for (const auto& problem : adding.problems()) warnings << "ip-masq: " << nat::printable(problem) << '\n';
  output << cni::result_json(cni::prev_result(request.netconf), request.cni_version) << std::endl;
  if (!output) throw_errno("cannot write the result to stdout");
}

}  // namespace ipmasq::plugin
