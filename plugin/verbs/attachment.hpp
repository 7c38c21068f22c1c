// The record of a pod, from what its runtime tells of it.
#pragma once

#include <string>

#include "cni/json.hpp"
#include "config/netconf.hpp"
#include "state/records.hpp"

namespace ipmasq::plugin {

/// `args`: as in CNI_ARGS. `result`: of the plugin before, or of the whole chain. Asks the kernel for the way
/// to the pod. Throws Error.
state::Attachment attachment_of(cni::AttachmentId id, const std::string& args, const cni::Json& result,
                                const config::Netconf& netconf);

}  // namespace ipmasq::plugin
