#include <algorithm>
#include <iostream>
#include <ostream>

#include "cni/result.hpp"
#include "error/error.hpp"
#include "plugin/verbs/others.hpp"
#include "plugin/verbs/plan.hpp"
#include "plugin/verbs/transaction.hpp"
#include "plugin/verbs/verbs.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

std::string pod_name(const std::string& args) {
  const auto space = cni::find_arg(args, "K8S_POD_NAMESPACE");
  const auto name = cni::find_arg(args, "K8S_POD_NAME");
  return space && name && cni::is_cni_name(*space) && cni::is_cni_name(*name) ? *space + "/" + *name : "";
}

state::Attachment attachment_of(const cni::Request& request, const config::Netconf& netconf) {
  const auto& environment = request.environment;
  const auto& result = cni::prev_result(request.netconf);
  state::Attachment attachment{.id = {environment.container_id, environment.interface},
                               .addresses = cni::addresses(result, environment.interface),
                               .pod_subnets = {},
                               .pod = pod_name(environment.args)};
  attachment.pod_subnets = config::pod_subnets_of(netconf, attachment.addresses);
  // Where a pod's network is a LAN that this node itself is on, the LAN's other hosts are no pods.
  for (const auto& pod : attachment.addresses) {
    const auto subnet = std::ranges::find(attachment.pod_subnets, pod.network());
    if (subnet == attachment.pod_subnets.end() ||
        !routing::is_on_an_uplink(pod, cni::has_host_interface(result)))
      continue;
    *subnet = net::network_of(pod.address, net::bits(pod.address.family));
    attachment.bypasses_node = true;
  }
  return attachment;
}

// One ADD, from the request to the record.
class Adding {
 public:
  Adding(const cni::Request& request, netfilter::Kernel& kernel)
      : reading_(config::read_configuration(request.netconf)),
        store_(reading_.netconf.state_dir),
        node_{kernel, store_, reading_.netconf.lock_timeout},
        network_(request.network),
        attachment_(attachment_of(request, reading_.netconf)) {}

  void run() {
    if (!under_shared_lock()) under_exclusive_lock();
  }

  const std::vector<std::string>& problems() const { return problems_; }

 private:
  Plan plan_beside(const std::optional<state::NetworkRecord>& before) {
    auto configuration = config::in_force(reading_, before ? std::optional(before->made_of) : std::nullopt);
    problems_ = configuration.problems;
    auto subnets = store_.subnets(network_);
    subnets.insert(attachment_.pod_subnets.begin(), attachment_.pod_subnets.end());
    if (before) subnets.insert(before->unrecorded.begin(), before->unrecorded.end());
    return {network_, std::move(configuration), std::move(subnets), false, {}, attachment_};
  }

  // Where the same container was in other pod subnets before, those that nobody else is in.
  void leave_earlier_subnets(const std::optional<state::NetworkRecord>& before, Plan& plan) const {
    const auto same = store_.attachment(network_, attachment_.id);
    if (!same || same->pod_subnets == attachment_.pod_subnets) return;
    store_.restore_markers(network_);
    for (const auto& subnet : same->pod_subnets) {
      const bool stays =
          std::ranges::find(attachment_.pod_subnets, subnet) != attachment_.pod_subnets.end() ||
          (before && before->unrecorded.contains(subnet)) || store_.is_used(network_, subnet, attachment_.id);
      if (stays) continue;
      plan.pod_subnets.erase(subnet);
      plan.gone.insert(subnet);
    }
  }

  // The common case, beside other calls of its kind: nothing to change but the record.
  bool under_shared_lock() {
    const auto lock = store_.lock_shared(node_.lock_timeout);
    const auto before = store_.undamaged_record(network_);
    if (!before || before->is_carried_over || before->placement.leaving) return false;
    const auto same = store_.attachment(network_, attachment_.id);
    if (same ? *same != attachment_ : store_.has_attachment(network_, attachment_.id)) return false;
    const auto plan = plan_beside(before);
    const bool is_settled =
        before->made_of == plan.configuration.made_of &&
        choose_backend(node_, plan, before, netfilter::Tables::may_be_made) == before->placement.on &&
        node_.open(before->placement.on)->differences(ruleset_of(plan)).empty();
    if (!is_settled) return false;
    Transaction transaction(node_);
    transaction.run([&] { transaction.save(network_, attachment_); });
    return true;
  }

  void under_exclusive_lock() {
    const auto lock = store_.lock_exclusive(node_.lock_timeout);
    store_.put_in_order(network_);
    const auto before = store_.undamaged_record(network_);
    auto plan = plan_beside(before);
    leave_earlier_subnets(before, plan);
    Transaction transaction(node_);
    transaction.run([&] { transaction.settle(plan, before); });
    for (auto& problem : settle_others(node_, network_)) problems_.push_back(std::move(problem));
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
  for (const auto& problem : adding.problems()) warnings << "ip-masq: " << problem << '\n';
  output << cni::result_json(cni::prev_result(request.netconf), request.cni_version) << std::endl;
  if (!output) throw_errno("cannot write the result to stdout");
}

}  // namespace ipmasq::plugin
