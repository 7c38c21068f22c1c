#include "nat/difference_lines.hpp"

#include <algorithm>

namespace ipmasq::nat {

std::vector<std::string> difference_lines(const std::vector<std::string>& missing,
                                          std::vector<std::string> unwanted) {
  std::vector<std::string> lines;
  for (const auto& text : missing) {
    const auto moved = std::ranges::find(unwanted, text);
    lines.push_back((moved == unwanted.end() ? "missing: " : "out of place: ") + text);
    if (moved != unwanted.end()) unwanted.erase(moved);
  }
  for (const auto& text : unwanted) lines.push_back("not wanted: " + text);
  return lines;
}

}  // namespace ipmasq::nat
