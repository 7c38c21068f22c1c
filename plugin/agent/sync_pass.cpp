#include "plugin/agent/sync_pass.hpp"

#include <algorithm>

#include "plugin/verbs/node_rules.hpp"
#include "plugin/verbs/wanted.hpp"

namespace ipmasq::plugin {

SyncPass sync_pass(const state::Store& store, netfilter::Kernel& kernel,
                   std::chrono::nanoseconds lock_timeout) {
  SyncPass pass;
  if (!store.exists()) return pass;
  const auto lock = store.lock_exclusive(lock_timeout);
  const auto before = store.load();
  auto recorded = before;
  const auto settled = NodeRules(kernel, store, lock_timeout).settle(recorded, before, [](const auto&) {});
  pass.changes = settled.changes;

  const auto& wanted = settled.wanted;
  pass.warnings.assign(wanted.warnings().begin(), wanted.warnings().end());
  for (const auto& [network, problem] : wanted.problems()) {
    pass.problems.push_back("rules of network " + network + " may be incomplete: " + problem);
  }
  for (const auto& network : wanted.networks()) {
    pass.files.insert({network.netconf.config_file, network.netconf.subnet_file});
    pass.resync_interval = std::min(pass.resync_interval, network.netconf.resync_interval);
  }
  for (const auto& [name, network] : recorded) pass.attachments[name] = network.attachments.size();
  pass.uses_iptables = wanted.is_used(netfilter::Backend::iptables);
  return pass;
}

}  // namespace ipmasq::plugin
