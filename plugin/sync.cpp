#include <ostream>

#include "cni/error.hpp"
#include "config/netconf.hpp"
#include "plugin/command_line.hpp"
#include "plugin/sync_pass.hpp"

namespace ipmasq::plugin {

void sync(const std::filesystem::path& state_dir, std::ostream& output) {
  const state::Store store(state_dir);
  if (!store.exists()) {
    output << "nothing is recorded in " << state_dir.string() << '\n';
    return;
  }
  netfilter::RealKernel kernel;
  const auto pass = sync_pass(store, kernel, config::Netconf{}.lock_timeout);
  for (const auto& change : pass.changes) output << change << '\n';
  if (pass.changes.empty()) output << "all rules are as they should be\n";
  for (const auto& warning : pass.warnings) output << "warning: " << warning << '\n';

  std::string problems;
  for (const auto& problem : pass.problems) problems += (problems.empty() ? "" : "; ") + problem;
  if (!problems.empty()) throw cni::Error(cni::ErrorCode::invalid_config, problems);
}

}  // namespace ipmasq::plugin
