// Pods as a command's user names them.
#pragma once

#include <string>

#include "net/address.hpp"
#include "plugin/verbs/recorded.hpp"

namespace ipmasq::plugin {

/// Whether an operand names a pod, NAMESPACE/POD.
bool is_named_pod(const std::string& text);

/// The address of a family that an operand names: itself, or of a pod that is recorded. Throws
/// Error{wrong_config} that names `what`, also where several pods of that name are recorded.
net::Address parse_pod_operand(const std::string& what, const std::string& text, const Recorded& recorded,
                               net::Family family);

}  // namespace ipmasq::plugin
