// A configuration file that shows in the agent's container alone, such as a ConfigMap's, for the plugin calls
// of the host: they must read what the agent reads.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "config/defaults.hpp"

namespace ipmasq::plugin {

struct ConfigCopy {
  std::vector<std::filesystem::path> from;  ///< the first of these that exists
  std::filesystem::path to = config::default_config_file;
};

/// What becomes of the copy where there is nothing to copy from.
enum class WhenGone { keep, remove };

struct Copied {
  std::string change = {};                 ///< what it did, empty for nothing
  std::vector<std::string> warnings = {};  ///< of `from`, that the copy cannot tell
};

/// Makes `to` say what `from` says: its bytes, or, of one with `nodes`, what that says of this node. The
/// bytes are in a file beside `to`, under its name after a '.', and `to` is a link to that one, which tells
/// it from a file that somebody else put there: such a one is left alone. At any time `to` is the old text or
/// all of the new one. Throws Error.
Copied follow(const ConfigCopy& copy, WhenGone when_gone);

/// What there is of a copy: `to`, and the file with its bytes; empty where it is none. Throws Error.
std::vector<std::filesystem::path> files_of_copy(const std::filesystem::path& to);

/// Takes `to` away where it is a copy; what it did, empty for nothing. Throws Error.
std::string remove_copy(const std::filesystem::path& to);

}  // namespace ipmasq::plugin
