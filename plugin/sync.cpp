#include <ostream>

#include "cni/error.hpp"
#include "netfilter/kernel.hpp"
#include "plugin/command_line.hpp"
#include "plugin/node_rules.hpp"

namespace ipmasq::plugin {

void sync(const std::filesystem::path& state_dir, std::ostream& output) {
  const state::Store store(state_dir);
  if (!store.exists()) {
    output << "nothing is recorded in " << state_dir.string() << '\n';
    return;
  }
  const auto lock_timeout = config::Netconf{}.lock_timeout;
  const auto lock = store.lock_exclusive(lock_timeout);
  const auto before = store.load();
  auto recorded = before;
  netfilter::RealKernel kernel;
  const auto changes = NodeRules(kernel, store, lock_timeout).settle(recorded, before, [] {});
  for (const auto& change : changes) output << change << '\n';
  if (changes.empty()) output << "all rules are as they should be\n";

  std::string problems;
  const auto wanted = wanted_of(recorded);
  for (const auto& warning : wanted.warnings()) output << "warning: " << warning << '\n';
  for (const auto& [network, problem] : wanted.problems()) {
    problems +=
        (problems.empty() ? "" : "; ") + ("rules of network " + network + " may be incomplete: " + problem);
  }
  if (!problems.empty()) throw cni::Error(cni::ErrorCode::invalid_config, problems);
}

}  // namespace ipmasq::plugin
