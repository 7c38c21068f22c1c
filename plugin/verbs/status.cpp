#include <ostream>

#include "config/in_force.hpp"
#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "plugin/verbs/first_pod.hpp"
#include "plugin/verbs/plan.hpp"
#include "plugin/verbs/verbs.hpp"

namespace ipmasq::plugin {

namespace {

using netfilter::Tables;

Plan plan_of(const state::Store& store, const std::string& network, config::SharedConfiguration configuration,
             const std::optional<state::NetworkRecord>& record) {
  Plan plan{network, std::move(configuration), store.subnets(network)};
  for (const auto& host : store.hosts(network)) plan.pod_subnets.insert(host);
  if (record) plan.pod_subnets.insert(record->unrecorded.begin(), record->unrecorded.end());
  if (record) plan.shared_subnets = record->shared_by(plan.pod_subnets);
  return plan;
}

class Asking {
 public:
  Asking(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& warnings)
      : request_(request),
        kernel_(kernel),
        warnings_(warnings),
        store_(config::parse_state_dir(request.netconf)) {}

  void run() {
    try {
      check_that_add_could_work();
    } catch (const Error& error) {
      throw Error(recorded_subnets_lack_rules() ? Kind::cut_off : Kind::cannot_add, error.what(),
                  error.details());
    }
  }

 private:
  void check_that_add_could_work() {
    const auto reading = config::read_configuration(request_.netconf);
    const auto record = store_.undamaged_record(request_.network);
    auto configuration = config::in_force(reading, record ? std::optional(record->made_of) : std::nullopt,
                                          recorded_pods(store_, request_.network));
    for (const auto& warning : configuration->netconf.warnings) warn(warning);
    for (const auto& problem : configuration->problems) warn(problem);

    const auto plan = plan_of(store_, request_.network, std::move(configuration), record);
    const Node node{kernel_, store_, reading.netconf.lock_timeout};
    const auto backend = choose_backend(node, plan, record, Tables::stay);
    check_that_kernel_takes(*node.open(backend), plan);
    std::optional<os::FileLock> lock;
    if (store_.exists()) lock.emplace(node.lock_shared());
    store_.check_writable();
    const bool is_undone = backend == config::Backend::iptables && plan.configuration->netconf.backend &&
                           kernel_.preferred(ruleset_of(plan), Tables::stay) == config::Backend::nftables;
    if (is_undone) warn(undone_by_nftables);
  }

  // Without a lock: it may be the lock that cannot be had.
  bool recorded_subnets_lack_rules() {
    std::optional<state::NetworkRecord> record;
    try {
      record = store_.undamaged_record(request_.network);
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): nobody can say that there are any
    }
    if (!record) return false;
    try {
      const auto plan = plan_of(store_, request_.network, config::as_made(record->made_of), record);
      if (plan.pod_subnets.empty()) return false;
      return !kernel_.open(record->placement.on, std::chrono::nanoseconds{0})
                  ->differences(ruleset_of(plan))
                  .empty();
    } catch (const Error& error) {
      return error.kind() == Kind::absent;  // else nobody can say that they lack them
    }
  }

  void warn(const std::string& warning) { warnings_ << "ip-masq: " << nat::printable(warning) << '\n'; }

  const cni::Request& request_;
  netfilter::Kernel& kernel_;
  std::ostream& warnings_;
  state::Store store_;
};

}  // namespace

void status(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& warnings) {
  Asking(request, kernel, warnings).run();
}

}  // namespace ipmasq::plugin
