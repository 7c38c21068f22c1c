// How long to wait before what failed is tried again.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

namespace ipmasq::plugin {

/// A second, then twice as long each time, up to a minute.
class Backoff {
 public:
  using Duration = std::chrono::steady_clock::duration;

  static constexpr Duration shortest = std::chrono::seconds(1);
  static constexpr Duration longest = std::chrono::minutes(1);

  Duration next() { return std::exchange(next_, std::min(next_ * 2, longest)); }
  void reset() { next_ = shortest; }

 private:
  Duration next_ = shortest;
};

}  // namespace ipmasq::plugin
