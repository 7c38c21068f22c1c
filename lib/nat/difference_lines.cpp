#include "nat/difference_lines.hpp"

#include <cstddef>
#include <string_view>
#include <unordered_map>

#include "nat/foreign_rule.hpp"

namespace ipmasq::nat {

std::vector<std::string> difference_lines(const std::vector<std::string>& missing,
                                          const std::vector<std::string>& unwanted) {
  std::vector<std::string> lines;
  lines.reserve(missing.size() + unwanted.size());
  std::unordered_map<std::string_view, std::size_t> left;  // of each unwanted text
  for (const auto& text : unwanted) ++left[text];
  std::unordered_map<std::string_view, std::size_t> moved;
  for (const auto& text : missing) {
    const auto found = left.find(text);
    const bool moves = found != left.end() && found->second > 0;
    if (moves) {
      --found->second;
      ++moved[text];
    }
    lines.push_back((moves ? "out of place: " : "missing: ") + printable(text));
  }
  for (const auto& text : unwanted) {
    const auto found = moved.find(text);
    if (found != moved.end() && found->second > 0) {
      --found->second;
    } else {
      lines.push_back("not wanted: " + printable(text));
    }
  }
  return lines;
}

}  // namespace ipmasq::nat
