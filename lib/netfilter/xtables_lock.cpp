#include "netfilter/xtables_lock.hpp"

#include <cstdlib>

namespace ipmasq::netfilter {

os::FileLock lock_xtables(std::chrono::nanoseconds timeout) {
  const char* const named = std::getenv("XTABLES_LOCKFILE");  // NOLINT(concurrency-mt-unsafe)
  return {named != nullptr && *named != '\0' ? named : "/run/xtables.lock", os::LockKind::exclusive, timeout};
}

}  // namespace ipmasq::netfilter
