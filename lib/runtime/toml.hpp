// TOML 1.0, which container runtimes are configured in (https://toml.io/en/v1.0.0), by libtomlplusplus.
#pragma once

#include <string>

#include "cni/json.hpp"

namespace ipmasq::runtime {

/// What a file says, as an object; dates and times are null. Throws Error{wrong_text} that names `path` and
/// the line where it is no TOML, and where it is deeper than anybody writes it.
cni::Json parse_toml(const std::string& text, const std::string& path);

}  // namespace ipmasq::runtime
