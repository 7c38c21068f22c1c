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
#include "plugin/verbs/others.hpp"
#include "plugin/verbs/own_address.hpp"
#include "plugin/verbs/plan.hpp"
#include "plugin/verbs/transaction.hpp"
#include "plugin/verbs/verbs.hpp"

namespace ipmasq::plugin {

namespace {

constexpr auto could_not_adopt = "pods that were there before could not be adopted: ";

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
                                  reading_.netconf, store_.subnets(network_))) {}

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
    return {network_, std::move(configuration), std::move(subnets), false, {}, {attachment_}};
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

  // Whether rules of ours that somebody restored in the other back end have a say: those in nftables come
  // before those in iptables; those in iptables are asked about what ours in nftables let go. To read
  // iptables' table costs what all have in it.
  bool is_overtaken(config::Backend on, const config::Netconf& netconf) const {
    const bool lets_go = !netconf.catch_all || netconf.exemption == config::Exemption::return_;
    const auto other =
        on == config::Backend::iptables ? config::Backend::nftables : config::Backend::iptables;
    return (on == config::Backend::iptables || lets_go) && !standing_in(node_, other, network_).empty();
  }

  // The common case, beside other calls of its kind: nothing to change but the record.
  bool under_shared_lock() {
    const auto lock = store_.lock_shared(node_.lock_timeout);
    const auto before = store_.undamaged_record(network_);
    if (!before || before->is_carried_over || before->placement.leaving || is_the_first(before)) return false;
    const auto same = store_.attachment(network_, attachment_.id);
    lead_by_own_address(attachment_, shared_subnets(store_, network_));
    if (same ? *same != attachment_ : store_.has_attachment(network_, attachment_.id)) return false;
    const auto plan = plan_beside(before);
    const bool is_settled =
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
    store_.put_in_order(network_);
    const auto before = store_.undamaged_record(network_);
    // To ask the kernel costs what all have in it.
    const bool is_new = !new_subnets().empty();
    lead_by_own_address(attachment_,
                        is_new ? shared_subnets(node_, network_) : shared_subnets(store_, network_));
    auto plan = plan_beside(before);
    std::ranges::move(lead_others_by_own_address(node_, network_, new_subnets()),
                      std::back_inserter(problems_));
    leave_earlier_subnets(before, plan);
    if (!is_the_first(before) || !settle_with_others(plan, before)) settle(plan, before);
    std::ranges::move(settle_others(node_, network_), std::back_inserter(problems_));
  }

  // That the network comes to; a single address takes nobody else's pods along.
  std::set<net::Prefix> new_subnets() const {
    std::set<net::Prefix> subnets(attachment_.pod_subnets.begin(), attachment_.pod_subnets.end());
    std::erase_if(subnets, [](const auto& each) { return each.length == net::bits(each.family()); });
    for (const auto& subnet : store_.subnets(network_)) subnets.erase(subnet);
    return subnets;
  }

  void settle(const Plan& plan, const std::optional<state::NetworkRecord>& before) const {
    Transaction transaction(node_);
    transaction.run([&] { transaction.settle(plan, before); });
  }

  // Others may have been there before us, or their record may be lost.
  bool is_the_first(const std::optional<state::NetworkRecord>& before) const {
    return !before || (!before->unrecorded.empty() && !store_.has_pods(network_));
  }

  // Whether it was done. What is wrong with others must not keep this pod from its start.
  bool settle_with_others(Plan plan, const std::optional<state::NetworkRecord>& before) {
    const auto cache = cni::read_caches(
        {.networks = {network_}, .known = {{cni::cache_name(network_, attachment_.id), network_}}});
    auto unadopted = find_unadopted(store_, network_, plan.configuration->netconf, cache);
    for (auto& problem : unadopted.problems) problems_.push_back(could_not_adopt + problem);
    adopt(std::move(unadopted), plan);
    std::ranges::move(lead_others_by_own_address(node_, network_, plan.pod_subnets),
                      std::back_inserter(problems_));
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
