// Names by a pattern: of nodes, of namespaces.
#pragma once

#include <string_view>

namespace ipmasq::config {

/// Whether `pattern` stands for the whole of `name`: '*' for any text, none as well, '?' for one byte, all
/// else for itself. In steps at most the product of their lengths, whoever wrote the pattern.
bool matches_glob(std::string_view pattern, std::string_view name);

}  // namespace ipmasq::config
