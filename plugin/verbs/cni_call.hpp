// The executable as a CNI plugin.
#pragma once

namespace ipmasq::plugin {

/// Serves the call that the environment and stdin describe; the exit status. The one place that catches
/// Error for a runtime: the error object goes to stdout, one line for a human to stderr.
int serve_cni_call();

}  // namespace ipmasq::plugin
