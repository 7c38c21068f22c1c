#include "config/flannel.hpp"
#include "plugin/verbs.hpp"
#include "plugin/wanted.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

namespace {

void check_that_add_could_work(const cni::Request& request, const netfilter::BackendFactory& open_backend) {
  const auto netconf = config::parse_netconf(request.netconf);
  refuse_config_file(netconf);
  config::read_cluster_networks(netconf.subnet_file);
  open_backend(netconf.backend, netconf.lock_timeout)->check_available();
  const state::Store store(netconf.state_dir);
  const auto lock = store.lock_shared(netconf.lock_timeout);
  store.check_writable();
}

// Without a lock: it may be the lock that cannot be had.
bool recorded_subnets_lack_rules(const cni::Request& request, const netfilter::BackendFactory& open_backend) {
  Recorded recorded;
  try {
    recorded = state::Store(config::parse_state_dir(request.netconf)).load();
  } catch (const cni::Error&) {
    return false;  // nobody can say that there are any
  }
  const auto wanted = wanted_of(recorded).ruleset;
  if (wanted.pod_subnets.empty()) return false;
  try {
    return !open_backend(backend_choice(recorded), std::chrono::nanoseconds{0})->differences(wanted).empty();
  } catch (const cni::Error&) {
    return true;  // nobody can say that they have them
  }
}

}  // namespace

void status(const cni::Request& request, const netfilter::BackendFactory& open_backend) {
  try {
    check_that_add_could_work(request, open_backend);
  } catch (const cni::Error& error) {
    const auto code = recorded_subnets_lack_rules(request, open_backend)
                          ? cni::ErrorCode::limited_connectivity
                          : cni::ErrorCode::not_available;
    throw cni::Error(code, error.what(), error.details());
  }
}

}  // namespace ipmasq::plugin
