// How commands print JSON.
#pragma once

#include <iosfwd>

#include "cni/json.hpp"

namespace ipmasq::plugin {

/// Indented, a line at its end. Values can hold others' rules and names: what no terminal should get is
/// printed as nat::printable has it.
void print_json(const cni::Json& json, std::ostream& output);

}  // namespace ipmasq::plugin
