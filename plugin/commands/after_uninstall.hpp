// What becomes of the program once uninstall has taken the entry out.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <vector>

#include "plugin/commands/uninstall.hpp"

namespace ipmasq::plugin {

/// Somebody else's program that install has kept takes its place again, unless a pod is recorded
/// (`are_records_gone`: none is, by uninstall --rules) or a list asks for ours yet; of `changed`, the files
/// that an uninstall which only pretends would have changed, none does. Else tells why ours stays, and how it
/// goes: not while a list asks for it, or may do so once it is whole, or an agent runs that may put the entry
/// back. Throws Error.
Notes settle_program(const std::filesystem::path& state_dir, const InstallTarget& target,
                     bool are_records_gone, Doing doing, const std::vector<std::filesystem::path>& changed,
                     std::ostream& output);

}  // namespace ipmasq::plugin
