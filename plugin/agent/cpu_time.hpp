// What a thread has used of its processor.
#pragma once

#include <chrono>
#include <ctime>

namespace ipmasq::plugin {

/// Of this thread, since it began.
inline std::chrono::nanoseconds cpu_time() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace ipmasq::plugin
