#include <ostream>
#include <string>
#include <vector>

#include "config/defaults.hpp"
#include "error/error.hpp"
#include "nat/foreign_rule.hpp"
#include "plugin/agent/sync_pass.hpp"
#include "plugin/commands/command_line.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

namespace {

// Rules that no record needs are not sync's to remove.
std::string line_of(const nat::Source& left_alone) {
  return "left alone: rules of " + net::to_text(left_alone.prefix) + ", network " + left_alone.network +
         ", of which nothing is recorded here";
}

}  // namespace

void sync(const std::filesystem::path& state_dir, std::ostream& output) {
  const state::Store store(state_dir);
  netfilter::RealKernel kernel;
  const auto pass = sync_pass(store, kernel, config::default_lock_timeout);
  const auto& problems = pass.problems;
  for (const auto& step : pass.changes) {
    for (const auto& line : step.lines) output << nat::printable(line) << '\n';
  }
  for (const auto& line : pass.followed) output << nat::printable(line) << '\n';
  const bool is_recorded = store.exists();
  if (!is_recorded) output << "nothing is recorded in " << state_dir.string() << '\n';
  if (is_recorded && pass.changes.empty() && problems.empty()) output << "all rules are as they should be\n";
  for (const auto& warning : pass.warnings) output << "warning: " << nat::printable(warning) << '\n';
  for (const auto& source : pass.left_alone) output << nat::printable(line_of(source)) << '\n';

  std::string told;
  for (const auto& problem : problems) told += (told.empty() ? "" : "; ") + problem;
  if (!told.empty()) throw Error(Kind::wrong_config, told);
}

}  // namespace ipmasq::plugin
