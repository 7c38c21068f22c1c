#include <ostream>

#include "config/flannel.hpp"
#include "error/error.hpp"
#include "plugin/verbs/node_rules.hpp"
#include "plugin/verbs/verbs.hpp"
#include "plugin/verbs/wanted.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

namespace {

Recorded load_if_there(const state::Store& store) {
  return store.exists() ? store.load() : Recorded{};
}

// Throws where an ADD could not work; else the back end that it would use.
netfilter::Backend check_that_add_could_work(const cni::Request& request, netfilter::Kernel& kernel,
                                             std::ostream& warnings) {
  const auto netconf = config::effective_netconf(request.netconf);
  for (const auto& warning : netconf.warnings) warnings << "ip-masq: " << warning << '\n';
  config::read_cluster_networks(netconf.subnet_file);
  const state::Store store(netconf.state_dir);
  const NodeRules rules(kernel, store, netconf.lock_timeout);
  const auto backend = rules.chosen(netconf.backend, load_if_there(store));
  kernel.open(backend, netconf.lock_timeout)->check_available();
  const auto lock = store.lock_shared(netconf.lock_timeout);
  store.check_writable();
  return backend;
}

// Without a lock: it may be the lock that cannot be had.
bool recorded_subnets_lack_rules(const cni::Request& request, netfilter::Kernel& kernel) {
  Recorded recorded;
  const state::Store store(config::parse_state_dir(request.netconf));
  try {
    recorded = load_if_there(store);
  } catch (const Error&) {
    return false;  // nobody can say that there are any
  }
  const auto wanted = wanted_of(recorded);
  if (wanted.all().pod_subnets.empty()) return false;
  try {
    return !NodeRules(kernel, store, std::chrono::nanoseconds{0}).differences(wanted).empty();
  } catch (const Error&) {
    return true;  // nobody can say that they have them
  }
}

}  // namespace

void status(const cni::Request& request, netfilter::Kernel& kernel, std::ostream& warnings) {
  try {
    const auto backend = check_that_add_could_work(request, kernel, warnings);
    if (backend == netfilter::Backend::iptables && kernel.preferred() == netfilter::Backend::nftables) {
      warnings << "ip-masq: " << undone_by_nftables << '\n';
    }
  } catch (const Error& error) {
    const auto code = recorded_subnets_lack_rules(request, kernel) ? Kind::cut_off : Kind::cannot_add;
    throw Error(code, error.what(), error.details());
  }
}

}  // namespace ipmasq::plugin
