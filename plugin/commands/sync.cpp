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

// Rules that no record needs are not sync's to remove: their pods may live.
std::vector<std::string> left_alone(const state::Store& store, netfilter::Kernel& kernel) {
  std::vector<std::string> lines;
  for (const auto& source : unrecorded_sources(kernel, read_recorded(store))) {
    lines.push_back("left alone: rules of " + net::to_text(source.prefix) + ", network " + source.network +
                    ", of which nothing is recorded here");
  }
  return lines;
}

void print(const std::vector<std::string>& lines, std::ostream& output) {
  for (const auto& line : lines) output << nat::printable(line) << '\n';
}

}  // namespace

void sync(const std::filesystem::path& state_dir, std::ostream& output) {
  const state::Store store(state_dir);
  netfilter::RealKernel kernel;
  const auto pass = sync_pass(store, kernel, config::default_lock_timeout);
  auto problems = pass.problems;
  std::vector<std::string> unrecorded;
  try {
    unrecorded = left_alone(store, kernel);
  } catch (const Error& error) {
    problems.emplace_back(error.what());
  }
  for (const auto& change : pass.changes) output << nat::printable(change.line) << '\n';
  const bool is_recorded = store.exists();
  if (!is_recorded) output << "nothing is recorded in " << state_dir.string() << '\n';
  if (is_recorded && pass.changes.empty() && problems.empty()) output << "all rules are as they should be\n";
  for (const auto& warning : pass.warnings) output << "warning: " << nat::printable(warning) << '\n';
  print(unrecorded, output);

  std::string told;
  for (const auto& problem : problems) told += (told.empty() ? "" : "; ") + problem;
  if (!told.empty()) throw Error(Kind::wrong_config, told);
}

}  // namespace ipmasq::plugin
