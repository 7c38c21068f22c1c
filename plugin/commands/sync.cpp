#include <ostream>

#include "config/netconf.hpp"
#include "error/error.hpp"
#include "plugin/agent/sync_pass.hpp"
#include "plugin/commands/command_line.hpp"

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
  if (!problems.empty()) throw Error(Kind::wrong_config, problems);
}

}  // namespace ipmasq::plugin
