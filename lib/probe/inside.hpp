// Work in another network namespace, such as a pod's.
#pragma once

#include <functional>
#include <string>

namespace ipmasq::probe {

/// Does `work` on a thread of its own, which is in the network namespace of that path (CAP_SYS_ADMIN is
/// needed); waits for it, and throws what it throws. Throws Error, with `work` not begun, where the namespace
/// cannot be entered: forbidden where we may not.
void inside(const std::string& network_namespace, const std::function<void()>& work);

}  // namespace ipmasq::probe
