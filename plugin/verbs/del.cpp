#include <algorithm>

#include "error/error.hpp"
#include "plugin/verbs/node_rules.hpp"
#include "plugin/verbs/verbs.hpp"
#include "plugin/verbs/wanted.hpp"
#include "state/store.hpp"

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

bool is_last_of_a_subnet(const state::Network& network, const cni::AttachmentId& id) {
  const auto* const attachment = network.find(id);
  return attachment == nullptr || std::ranges::any_of(attachment->pod_subnets, [&](const auto& subnet) {
           return !network.is_used(subnet, id);
         });
}

}  // namespace

void del(const cni::Request& request, netfilter::Kernel& kernel) {
  const state::Store store(config::parse_state_dir(request.netconf));
  if (!store.exists() || !state::Store::is_network_name(request.network)) return;
  const auto lock_timeout = lock_timeout_of(request.netconf);
  const auto lock = store.lock_exclusive(lock_timeout);

  auto network = store.load(request.network);
  const cni::AttachmentId id{request.environment.container_id, request.environment.interface};
  const bool is_last = is_last_of_a_subnet(network, id);
  if (network.remove(id)) {
    // The record goes last: a call that is killed before is repeated by the runtime, or by GC.
    if (is_last) {
      const auto before = store.load();
      auto recorded = before;
      recorded[request.network] = network;
      NodeRules(kernel, store, lock_timeout).apply(wanted_of(recorded), before);
    }
    store.forget(request.network, id);
  }
  if (network.is_empty()) store.forget_network(request.network);
}

}  // namespace ipmasq::plugin
