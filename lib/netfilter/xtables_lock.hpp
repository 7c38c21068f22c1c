// The lock that iptables holds while it reads and commits, which libiptc leaves to its callers.
#pragma once

#include <chrono>

#include "os/file_lock.hpp"

namespace ipmasq::netfilter {

/// $XTABLES_LOCKFILE or /run/xtables.lock, exclusive (iptables(8), -w). Throws Error as os::FileLock
/// does.
os::FileLock lock_xtables(std::chrono::nanoseconds timeout);

}  // namespace ipmasq::netfilter
