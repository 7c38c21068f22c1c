#include <optional>
#include <ostream>

#include "config/defaults.hpp"
#include "plugin/commands/uninstall.hpp"
#include "plugin/verbs/node.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

namespace {

void tell_of_records(const std::string& name, const state::Network& network, std::ostream& output) {
  const auto pods = network.attachments.size() + network.damaged_ids.size();
  tell("removed the records of network " + name + ": " + std::to_string(pods) +
           (pods == 1 ? " attachment" : " attachments"),
       Doing::pretend, output);
}

}  // namespace

void remove_rules(const std::filesystem::path& state_dir, Doing doing, std::ostream& output) {
  const state::Store store(state_dir);
  const bool is_dry = doing == Doing::pretend;
  netfilter::RealKernel kernel;
  const Node node{kernel, store, config::default_lock_timeout};
  std::optional<os::FileLock> lock;
  if (store.exists() && !is_dry) lock.emplace(node.lock_exclusive());
  for (const auto backend : config::all_backends) {
    auto* const opened = node.open(backend);
    if (!opened->may_hold_rules()) continue;
    const auto sources = opened->sources();
    nat::Ruleset nothing{.gone = {sources.begin(), sources.end()}};
    for (const auto& source : sources) nothing.networks.insert(source.network);
    if (is_dry) {
      for (const auto& rule : opened->rules()) tell("removed " + rule.text, doing, output);
      continue;
    }
    for (const auto& change : opened->apply(nothing).lines) output << change << '\n';
  }
  for (const auto& [name, network] : store.load()) {
    if (is_dry) {
      tell_of_records(name, network, output);
      continue;
    }
    for (const auto& attachment : network.attachments) store.forget(name, attachment.id);
    for (const auto& id : network.damaged_ids) store.forget(name, id);
    store.forget_network(name);
  }
}

}  // namespace ipmasq::plugin
