#include "error/first_lines.hpp"

namespace ipmasq {

std::vector<std::string> first_lines(std::vector<std::string> lines, const std::string& more) {
  if (lines.size() <= most_lines) return lines;
  const auto left = lines.size() - most_lines;
  lines.resize(most_lines);
  lines.push_back("and " + std::to_string(left) + " more" + more);
  return lines;
}

}  // namespace ipmasq
