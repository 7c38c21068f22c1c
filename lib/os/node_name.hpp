// What the node that this process runs on is called.
#pragma once

#include <string>

namespace ipmasq::os {

/// NODE_NAME of the environment, as a manifest sets it, else the host name in lower case, as kubelet calls
/// its node where it is not told another name.
std::string node_name();

}  // namespace ipmasq::os
