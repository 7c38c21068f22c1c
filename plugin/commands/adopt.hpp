// ip-masq adopt, and what install says of it.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <vector>

#include "conflist/conflist.hpp"
#include "plugin/commands/command_line.hpp"

namespace ipmasq::plugin {

enum class DryRun { no, yes };

/// Adopts the pods of this node that are not recorded (see adopt_pass.hpp), or tells which there are. Throws
/// Error where one of them cannot be adopted, or told, after everything else was done.
void adopt(const std::filesystem::path& state_dir, const std::filesystem::path& conf_dir, DryRun dry_run,
           OutputFormat format, std::ostream& output);

/// The same as the last step of an install: silent where there is none.
void adopt_after_install(const std::filesystem::path& state_dir, const std::filesystem::path& conf_dir,
                         std::ostream& output);

/// What that would adopt once these lists are written. Throws Error.
void tell_what_install_would_adopt(const std::filesystem::path& state_dir,
                                   const std::filesystem::path& conf_dir,
                                   const std::vector<conflist::Network>& lists, std::ostream& output);

}  // namespace ipmasq::plugin
