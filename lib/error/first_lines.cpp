#include "error/first_lines.hpp"

namespace ipmasq {

std::vector<std::string> first_lines(std::vector<std::string> lines, const std::string& more) {
  if (lines.size() <= most_lines) return lines;
  const auto left = lines.size() - most_lines;
  lines.resize(most_lines);
  lines.push_back(and_more(left, more));
  return lines;
}

std::string and_more(std::size_t left, const std::string& more) {
  return "and " + std::to_string(left) + " more" + more;
}

}  // namespace ipmasq
