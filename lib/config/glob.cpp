#include "config/glob.hpp"

#include <cstddef>

namespace ipmasq::config {

// What stands before the last '*' that was met need never be tried otherwise: that one takes up whatever is
// left.
bool matches_glob(std::string_view pattern, std::string_view name) {
  std::size_t at = 0;
  std::size_t met = 0;
  std::size_t after_star = std::string_view::npos;  // in the pattern
  std::size_t taken_up = 0;                         // by that star: up to here in the name
  while (met < name.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      after_star = ++at;
      taken_up = met;
    } else if (at < pattern.size() && (pattern[at] == '?' || pattern[at] == name[met])) {
      ++at;
      ++met;
    } else if (after_star != std::string_view::npos) {
      at = after_star;
      met = ++taken_up;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

}  // namespace ipmasq::config
