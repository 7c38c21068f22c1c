// How what a piece of work costs grows with its size, on whatever machine.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>

#include "plugin/agent/cpu_time.hpp"

namespace ipmasq::test {

/// By how much more of this thread's own time `work` takes for a hundred times the size: some 100 where it is
/// linear, several times that where it leaves the caches, 10,000 where it is a square. `prepare` makes what
/// it takes, uncounted, and gives the work.
inline double growth_by_hundred(std::size_t small,
                                const std::function<std::function<void()>(std::size_t)>& prepare) {
  const auto least = [&prepare](std::size_t size) {
    constexpr int times = 3;
    auto cost = std::chrono::nanoseconds::max();
    for (int time = 0; time < times; ++time) {
      const auto work = prepare(size);
      const auto before = plugin::cpu_time();
      work();
      cost = std::min(cost, plugin::cpu_time() - before);
    }
    return static_cast<double>(cost.count());
  };
  const auto cost = least(small);
  return least(100 * small) / cost;
}

inline constexpr double far_below_a_square = 2000;

}  // namespace ipmasq::test
