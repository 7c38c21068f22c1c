// Keys of a network configuration whose values libcni reads into types of its own (libcni 1.3, conf.go:
// NetworkConfFromBytes; pkg/types: PluginConf): a value of another type makes it refuse the whole file.
#pragma once

#include <string>
#include <string_view>

#include "cni/json.hpp"

namespace ipmasq::conflist {

/// Why libcni refuses a list (an object) or a plugin of one (any value) for the types of its values:
/// "\"ipam\" is 7: expected an object"; empty where it does not. null is of every type, as for Go.
std::string wrong_type_in_list(const cni::Json& list);
std::string wrong_type_in_plugin(const cni::Json& plugin);

/// What a plugin, or a single one's file, says under "type", "name" or "cniVersion", whatever the letters'
/// case; of two such keys the last by its bytes counts, in which order libcni hands them on. Empty where it
/// says none.
std::string text_in_plugin(const cni::Json& plugin, std::string_view key);

inline std::string type_of(const cni::Json& plugin) {
  return text_in_plugin(plugin, "type");
}

}  // namespace ipmasq::conflist
