#include "nat/difference_lines.hpp"

#include <cstddef>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "nat/foreign_rule.hpp"

namespace ipmasq::nat {

// Each text once, however many there are: long lists that change whole are told in 20,000.
std::vector<std::string> difference_lines(std::vector<std::string> missing,
                                          std::vector<std::string> unwanted) {
  std::vector<bool> moves(missing.size());
  std::vector<bool> moved(unwanted.size());
  {
    std::unordered_map<std::string_view, std::vector<std::size_t>> places;  // of an unwanted text, last first
    for (auto place = unwanted.size(); place-- > 0;) places[unwanted[place]].push_back(place);
    for (std::size_t place = 0; place < missing.size(); ++place) {
      const auto found = places.find(missing[place]);
      if (found == places.end() || found->second.empty()) continue;
      moves[place] = true;
      moved[found->second.back()] = true;
      found->second.pop_back();
    }
  }
  std::vector<std::string> lines;
  lines.reserve(missing.size() + unwanted.size());
  const auto tell = [&lines](const char* what, std::string& text) {
    lines.push_back(what + printable(std::exchange(text, {})));
  };
  for (std::size_t place = 0; place < missing.size(); ++place)
    tell(moves[place] ? "out of place: " : "missing: ", missing[place]);
  for (std::size_t place = 0; place < unwanted.size(); ++place) {
    if (!moved[place]) tell("not wanted: ", unwanted[place]);
  }
  return lines;
}

}  // namespace ipmasq::nat
