// How long to go on where somebody else commits to nftables at the same moment, again and again.
#pragma once

#include <chrono>
#include <string>

#include "error/error.hpp"

namespace ipmasq::netfilter {

class Tries {
 public:
  /// Returns where it is to be tried again. `what`: "read", "changed". Throws Error{busy} when it took too
  /// long.
  void again(const std::string& what) const {
    if (Clock::now() - start_ < longest) return;
    throw Error(Kind::busy,
                "table inet ip-masq could not be " + what + ": for " + std::to_string(longest.count()) +
                    " s somebody else changed nftables each time in between",
                "nft monitor says who");
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds longest{5};

  Clock::time_point start_ = Clock::now();
};

}  // namespace ipmasq::netfilter
