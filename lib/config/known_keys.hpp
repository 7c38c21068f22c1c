// Which entries of a netconf are keys of ours, or were meant to be.
#pragma once

#include <string>
#include <vector>

#include "cni/json.hpp"

namespace ipmasq::config {

/// What its writer meant otherwise, a sentence each: a key that is misspelt, or stands in the file alone.
std::vector<std::string> slips_of(const cni::Json& netconf);

/// The entries of `netconf` that parse_netconf reads, as they are, and with no value those that it warns of:
/// what is recorded of a network.
cni::Json known_keys(const cni::Json& netconf);

}  // namespace ipmasq::config
