// How often rules are looked at that nobody tells of.
#pragma once

#include <algorithm>
#include <chrono>

namespace ipmasq::plugin {

/// Of 0.5% of a core, which all that an agent does while nothing happens costs at most: what its passes and
/// its smaller questions leave is for looks.
class LookBudget {
 public:
  using Time = std::chrono::nanoseconds;

  static constexpr Time shortest_rest = std::chrono::seconds(1);

  /// A pass that had nothing to do took so much of a processor, and one is made each `interval`.
  void pass_took(Time used, Time interval) {
    pass_ = used;
    interval_ = std::max(interval, shortest_rest);
  }
  /// So did what is asked after each shortest_rest.
  void question_took(Time used) { question_ = used; }
  void look_took(Time used) { look_ = used; }

  /// From a look to the next, or from a pass, which looks as well: where passes cost all there is, no look
  /// comes between two of them.
  Time rest() const {
    constexpr double share = 0.005;
    const auto left = share - part(pass_, interval_) - part(question_, shortest_rest);
    const auto rest = std::chrono::duration<double>(look_) / std::max(left, share / 1000);
    return std::max(shortest_rest, std::chrono::duration_cast<Time>(rest));
  }

 private:
  static double part(Time used, Time of) {
    return std::chrono::duration<double>(used) / std::chrono::duration<double>(of);
  }

  Time pass_{0};
  Time interval_ = std::chrono::seconds(60);
  Time question_{0};
  Time look_{0};
};

}  // namespace ipmasq::plugin
