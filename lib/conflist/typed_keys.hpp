// Keys of a network configuration whose values libcni reads into types of its own (libcni 1.3, conf.go:
// NetworkConfFromBytes; pkg/types: PluginConf): a value of another type makes it refuse the whole file.
#pragma once

#include <string>

#include "cni/json.hpp"

namespace ipmasq::conflist {

/// Why libcni refuses a list (an object) or a plugin of one (any value) for the types of its values:
/// "\"ipam\" is 7: expected an object"; empty where it does not. null is of every type, as for Go.
std::string wrong_type_in_list(const cni::Json& list);
std::string wrong_type_in_plugin(const cni::Json& plugin);

}  // namespace ipmasq::conflist
