// How large the legacy nat tables are, which is cheap to ask.
#pragma once

#include <string>

namespace ipmasq::netfilter {

/// Size and number of entries of each family's nat table that is there, as a text to be compared with another
/// one. Throws Error: Kind::absent, Kind::forbidden.
std::string nat_table_sizes();

}  // namespace ipmasq::netfilter
