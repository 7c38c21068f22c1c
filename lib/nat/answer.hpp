// Whether something is so, as far as it can be told.
#pragma once

#include <algorithm>

namespace ipmasq::nat {

/// `may`: what cannot be told here decides, or some of those that are asked about.
enum class Answer { no, may, yes };

constexpr Answer opposite(Answer answer) {
  return answer == Answer::yes ? Answer::no : answer == Answer::no ? Answer::yes : Answer::may;
}

constexpr Answer both(Answer left, Answer right) {
  return std::min(left, right);
}

}  // namespace ipmasq::nat
