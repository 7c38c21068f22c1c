#include <ostream>

#include "config/netconf.hpp"
#include "error/error.hpp"
#include "plugin/agent/sync_pass.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

namespace {

// Rules that no record needs are not sync's to remove: their pods may live.
void tell_unrecorded(const state::Store& store, netfilter::Kernel& kernel, std::ostream& output) {
  for (const auto& source : unrecorded_sources(kernel, read_recorded(store))) {
    output << "left alone: rules of " << net::to_text(source.prefix) << ", network " << source.network
           << ", of which nothing is recorded here\n";
  }
}

}  // namespace

void sync(const std::filesystem::path& state_dir, std::ostream& output) {
  const state::Store store(state_dir);
  netfilter::RealKernel kernel;
  if (!store.exists()) {
    output << "nothing is recorded in " << state_dir.string() << '\n';
    return tell_unrecorded(store, kernel, output);
  }
  const auto pass = sync_pass(store, kernel, config::Netconf{}.lock_timeout);
  for (const auto& change : pass.changes) output << change << '\n';
  if (pass.changes.empty() && pass.problems.empty()) output << "all rules are as they should be\n";
  for (const auto& warning : pass.warnings) output << "warning: " << warning << '\n';
  tell_unrecorded(store, kernel, output);

  std::string problems;
  for (const auto& problem : pass.problems) problems += (problems.empty() ? "" : "; ") + problem;
  if (!problems.empty()) throw Error(Kind::wrong_config, problems);
}

}  // namespace ipmasq::plugin
