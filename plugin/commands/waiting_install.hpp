// ip-masq install --wait: on a node that is being set up.
#pragma once

#include <iosfwd>
#include <string>

#include "plugin/commands/folders.hpp"
#include "plugin/commands/install.hpp"

namespace ipmasq::plugin {

struct Installed {
  CommandFolders folders;
  Notes notes;
};

/// install, as soon as it can be: once there is such a conflist, and its other plugins where the program is
/// to go. Which folders are meant is asked again at each change of what tells, since the runtime may come
/// later. Tells what it waits for, each time that this is another thing. SIGTERM and SIGINT end it with
/// Error.
Installed install_when_possible(const FolderOptions& options, const std::string& after, std::ostream& output);

}  // namespace ipmasq::plugin
