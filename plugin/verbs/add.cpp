#include <algorithm>
#include <iostream>
#include <iterator>
#include <ostream>

#include "cni/cache.hpp"
#include "cni/result.hpp"
#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "plugin/verbs/adoption.hpp"
#include "plugin/verbs/attachment.hpp"
#include "plugin/verbs/met_first.hpp"
#include "plugin/verbs/others.hpp"
#include "plugin/verbs/own_address.hpp"
#include "plugin/verbs/plan.hpp"
#include "plugin/verbs/transaction.hpp"
#include "plugin/verbs/verbs.hpp"

namespace ipmasq::plugin {

namespace {

constexpr auto could_not_adopt = "pods that were there before could not be adopted: ";

// The networks of a pod that has rules by its own address alone.
std::set<net::Prefix> lans_of(const state::Attachment& attachment) {
  std::set<net::Prefix> lans;
  const auto has = [&attachment](const net::Prefix& subnet) {
    return std::ranges::find(attachment.pod_subnets, subnet) != attachment.pod_subnets.end();
  };
  for (const auto& pod : attachment.addresses) {
    const bool is_alone = has(net::network_of(pod.address, net::bits(pod.address.family)));
    if (is_alone && !has(pod.network())) lans.insert(pod.network());
  }
  return lans;
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
                                  request.environment.args, cni::prev_result(request.netconf),
                                  reading_.netconf, store_.subnets(network_))),
        lans_(lans_of(attachment_)) {}

  void run() {
    if (!under_shared_lock()) under_exclusive_lock();
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
    auto subnets = store_.subnets(network_);
    subnets.insert(attachment_.pod_subnets.begin(), attachment_.pod_subnets.end());
    if (before) subnets.insert(before->unrecorded.begin(), before->unrecorded.end());
    Plan plan{network_, std::move(configuration), std::move(subnets), false, {}, {attachment_}};
    plan.shared_subnets = recorded_shared_subnets(store_, network_, before);
    plan.shared_subnets.insert(shared_.begin(), shared_.end());
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

  // Whether rules that somebody restored in the other back end, or another network's, have a say over this
  // pod. To read iptables' table costs what all have in it.
  bool is_overtaken(config::Backend on, const config::Netconf& netconf) const {
    const auto other =
        on == config::Backend::iptables ? config::Backend::nftables : config::Backend::iptables;
    if (!has_a_say(other, on, netconf)) return false;
    const auto opened = node_.open(other);
    return opened->may_hold_rules() && std::ranges::any_of(opened->sources(), [this](const auto& source) {
             return source.network == network_ || holds_pod(source.prefix);
           });
  }

  bool holds_pod(const net::Prefix& prefix) const {
    return std::ranges::any_of(attachment_.addresses,
                               [&prefix](const auto& pod) { return prefix.contains(pod.address); });
  }

  // Where this pod's rules are not those that decide. What was done is done, whether that can be seen or not.
  void tell_what_is_met_first(const Plan& plan) {
    try {
      const auto record = store_.undamaged_record(network_);
      if (!record) return;
      const auto on = record->placement.on;
      const bool may_be =
          !shared_.empty() || !addresses_of_others().empty() || is_overtaken(on, plan.configuration->netconf);
      const auto other = may_be ? met_first(node_, plan, on, attachment_) : std::nullopt;
      if (other) problems_.push_back(other->what() + ": " + other->help(on));
    } catch (const Error& error) {
      problems_.push_back(std::string("whether another network's rules are met first cannot be seen: ") +
                          error.what());
    }
  }

  // This pod's, as another network has recorded them: with it.
  std::vector<std::pair<std::string, net::Prefix>> addresses_of_others() const {
    const auto any = [](const cni::AttachmentId&) { return true; };
    std::vector<std::pair<std::string, net::Prefix>> found;
    for (const auto& other : others_) {
      for (const auto& pod : attachment_.addresses) {
        const auto host = net::network_of(pod.address, net::bits(pod.address.family));
        if (store_.is_used(other, host, any)) found.emplace_back(other, host);
      }
    }
    return found;
  }

  // Who comes last has the address: whoever had it has ended, though nobody said so.
  void take_over(Transaction& transaction, const std::string& other, const net::Prefix& host) {
    std::vector<cni::AttachmentId> ids;
    store_.is_used(other, host, [&ids](const auto& id) {
      ids.push_back(id);
      return false;
    });
    std::vector<state::Attachment> without;
    for (const auto& id : ids) {
      auto attachment = store_.attachment(other, id);
      if (!attachment) return;  // damaged: nobody could write it anew
      std::erase(attachment->pod_subnets, host);
      without.push_back(*std::move(attachment));
    }
    for (const auto backend : config::all_backends) {
      if (node_.open(backend)->may_hold_rules()) transaction.apply(backend, {.gone = {{host, other}}});
    }
    for (const auto& attachment : without) {
      transaction.save(other, attachment);
      problems_.push_back(net::to_text(host.address) + " is recorded of " + attachment.id.container_id +
                          " (" + attachment.id.interface + ") in network " + other +
                          " as well, which has ended or has an address that is not its own: from now on it "
                          "follows the rules of network " +
                          network_);
    }
  }

  void leave_to(const std::set<net::Prefix>& others, const std::optional<state::NetworkRecord>& before) {
    if (others.empty()) return;
    auto own = store_.subnets(network_);
    if (before) own.insert(before->unrecorded.begin(), before->unrecorded.end());
    shared_.merge(leave_to_others(attachment_, own, others));
  }

  // The common case, beside other calls of its kind: nothing to change but the record.
  bool under_shared_lock() {
    const auto lock = store_.lock_shared(node_.lock_timeout);
    others_ = other_networks(store_, network_);
    const auto before = store_.undamaged_record(network_);
    if (!before || before->is_carried_over || before->placement.leaving || is_the_first(before) ||
        !addresses_of_others().empty() || !new_lans().empty() || !contested().empty())
      return false;
    const auto same = store_.attachment(network_, attachment_.id);
    if (!others_.empty()) leave_to(subnets_of_others(store_, network_), before);
    if (same ? *same != attachment_ : store_.has_attachment(network_, attachment_.id)) return false;
    const auto plan = plan_beside(before);
    const bool is_settled =
        std::ranges::includes(before->shared_subnets, shared_) &&
        before->made_of == plan.configuration->made_of &&
        choose_backend(node_, plan, before, netfilter::Tables::may_be_made) == before->placement.on &&
        node_.open(before->placement.on)->differences(ruleset_of(plan)).empty() &&
        !is_overtaken(before->placement.on, plan.configuration->netconf);
    if (!is_settled) return false;
    Transaction transaction(node_);
    transaction.run([&] { transaction.save(network_, attachment_); });
    return true;
  }

  void under_exclusive_lock() {
    const auto lock = store_.lock_exclusive(node_.lock_timeout);
    others_ = other_networks(store_, network_);
    store_.put_in_order(network_);
    const auto before = store_.undamaged_record(network_);
    leave_to(subnets_of_others(store_, network_), before);
    // To ask the kernel costs what all have in it.
    if (is_new()) leave_to(subnets_of_others(node_, network_), before);
    auto left = contested();
    shared_.insert(left.begin(), left.end());
    left.merge(new_lans());
    auto plan = plan_beside(before);
    leave_earlier_subnets(before, plan);
    if (!left.empty()) leave_subnets(left, before, plan);
    if (!is_the_first(before) || !settle_with_others(plan, before)) settle(plan, before);
    std::ranges::move(settle_others(node_, network_), std::back_inserter(problems_));
    tell_what_is_met_first(plan);
  }

  // Pod subnets of ours that turned out to be a LAN that the node itself is on, whose other hosts are no
  // pods.
  std::set<net::Prefix> new_lans() const {
    if (lans_.empty()) return {};
    auto known = store_.subnets(network_);
    std::erase_if(known, [this](const auto& each) { return !lans_.contains(each); });
    return known;
  }

  // Those that pods of another network lead by as well: each came to them without knowing of the other.
  std::set<net::Prefix> contested() const {
    if (others_.empty()) return {};
    auto both = store_.subnets(network_);
    const auto others = subnets_of_others(store_, network_);
    std::erase_if(both, [&others](const auto& each) { return !others.contains(each); });
    return both;
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
      return each.length != net::bits(each.family()) && !known.contains(each);
    });
  }

  void settle(const Plan& plan, const std::optional<state::NetworkRecord>& before) {
    Transaction transaction(node_);
    transaction.run([&] {
      for (const auto& [other, host] : addresses_of_others()) take_over(transaction, other, host);
      transaction.settle(plan, before);
    });
  }

  // Others may have been there before us, or their record may be lost.
  bool is_the_first(const std::optional<state::NetworkRecord>& before) const {
    return !before || (!before->unrecorded.empty() && !store_.has_pods(network_));
  }

  // Whether it was done. What is wrong with others must not keep this pod from its start.
  bool settle_with_others(Plan plan, const std::optional<state::NetworkRecord>& before) {
    const auto cache = cni::read_caches(
        {.networks = {network_}, .known = {{cni::cache_name(network_, attachment_.id), network_}}});
    auto unadopted = find_unadopted(store_, network_, plan.configuration->netconf, cache,
                                    subnets_of_others(node_, network_));
    for (auto& problem : unadopted.problems) problems_.push_back(could_not_adopt + problem);
    adopt(std::move(unadopted), plan);
    if (plan.attachments.size() == 1 && !plan.has_all_pods) return false;
    try {
      settle(plan, before);
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
  std::vector<std::string> others_;  // networks
  std::set<net::Prefix> lans_;       // that the pod stands in
  std::set<net::Prefix> shared_;     // pod subnets of other networks that the pod stands in
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
