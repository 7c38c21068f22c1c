// The files of a folder of network configurations, read.
#pragma once

#include <filesystem>
#include <vector>

#include "conflist/conflist.hpp"

namespace ipmasq::conflist {

/// What a runtime would consider there, with the plugins that stand in folders beside lists, what install put
/// beside it, and what others have renamed to put it out of force. A file that cannot be read carries the
/// trouble; the others are read all the same. Throws Error where the folder itself cannot be read: absent
/// where there is none.
std::vector<File> read_folder(const std::filesystem::path& folder);

}  // namespace ipmasq::conflist
