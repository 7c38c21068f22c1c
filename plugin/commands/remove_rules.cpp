#include <optional>
#include <ostream>

#include "config/defaults.hpp"
#include "netfilter/kernel.hpp"
#include "plugin/commands/install.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

void remove_rules(const std::filesystem::path& state_dir, std::ostream& output) {
  const state::Store store(state_dir);
  const auto lock_timeout = config::default_lock_timeout;
  std::optional<os::FileLock> lock;
  if (store.exists()) lock.emplace(store.lock_exclusive(lock_timeout));
  netfilter::RealKernel kernel;
  for (const auto backend : config::all_backends) {
    const auto opened = kernel.open(backend, lock_timeout);
    if (!opened->may_hold_rules()) continue;
    const auto sources = opened->sources();
    nat::Ruleset nothing{.gone = {sources.begin(), sources.end()}};
    for (const auto& source : sources) nothing.networks.insert(source.network);
    for (const auto& change : opened->apply(nothing).lines) output << change << '\n';
  }
  for (const auto& [name, network] : store.load()) {
    for (const auto& attachment : network.attachments) store.forget(name, attachment.id);
    for (const auto& id : network.damaged_ids) store.forget(name, id);
    store.forget_network(name);
  }
}

}  // namespace ipmasq::plugin
