// The configuration in force for whoever hands it on: what it holds is in config/in_force.hpp, which fewer
// need.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/address.hpp"

namespace ipmasq::config {

struct Configuration;
struct MadeOf;
struct Netconf;

/// A list may have 10,000 networks: whoever needs it refers to it.
using SharedConfiguration = std::shared_ptr<const Configuration>;

std::shared_ptr<const Netconf> netconf_of(const SharedConfiguration& configuration);
/// Of files that are wrong now, and so not in force.
const std::vector<std::string>& problems_of(const Configuration& configuration);

/// What rules were made of, whatever the files say now. Throws Error{wrong_config} for a record that nobody
/// of this version wrote.
SharedConfiguration as_made(const MadeOf& made_of);

/// Whether the network has pods of a family; asked only where something depends on it.
using HasPods = std::function<bool(net::Family)>;

}  // namespace ipmasq::config
