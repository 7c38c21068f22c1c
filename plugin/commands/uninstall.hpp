// What install put on a node, taken out again.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <vector>

#include "plugin/commands/carry_out.hpp"
#include "plugin/commands/install.hpp"

namespace ipmasq::plugin {

struct Uninstalled {
  Notes notes;
  std::vector<std::filesystem::path> files;  ///< of the folders: those that were changed, or would be
};

/// Takes our entry, and all that install put in with it, out of every conflist of all folders, putting back
/// what was there before where nothing else has changed since. The binary stays: pods that are there need it
/// for their DEL. Throws Error, after doing what could be done.
Uninstalled uninstall(const InstallTarget& target, Doing doing, std::ostream& output);

/// Where install has kept somebody else's program of our name, that one takes our program's place again; for
/// when no pod needs ours any more. Whether it did, or would. Throws Error.
bool put_program_back(const std::filesystem::path& bin_dir, Doing doing, Notes& notes, std::ostream& output);

/// Of our program where it is still there after uninstall: what for, and how it goes.
Notes what_stays(const std::filesystem::path& bin_dir);

/// Takes away the copy of a configuration file that the agent has made for plugin calls. Throws Error.
void remove_copy_of_agent(Doing doing, std::ostream& output);

/// Takes away all rules of ours and all records. Throws Error.
void remove_rules(const std::filesystem::path& state_dir, Doing doing, std::ostream& output);

}  // namespace ipmasq::plugin
