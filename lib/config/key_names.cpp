#include "config/key_names.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace ipmasq::config {

namespace {

constexpr std::size_t most_slips = 2;
constexpr std::size_t letters_a_slip = 3;  // of a short name two slips make any other

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// In lower case, without what stands between words; a letter of another script as one '?'.
std::string letters(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '_' || c == '-' || c == '.' || c == ' ') continue;
    const auto byte = static_cast<unsigned char>(c);
    const bool continues = (byte & 0xc0U) == 0x80U;
    if (!continues) result += byte < 0x80U ? lower(c) : '?';
  }
  return result;
}

// Letters left out, put in, changed, or two neighbours swapped (optimal string alignment).
std::size_t slips_between(std::string_view left, std::string_view right) {
  std::vector<std::size_t> before_last;
  std::vector<std::size_t> last(right.size() + 1);
  std::iota(last.begin(), last.end(), 0);
  for (std::size_t row = 1; row <= left.size(); ++row) {
    std::vector<std::size_t> current(right.size() + 1, row);
    for (std::size_t column = 1; column <= right.size(); ++column) {
      const bool differ = left[row - 1] != right[column - 1];
      current[column] =
          std::min({last[column] + 1, current[column - 1] + 1, last[column - 1] + (differ ? 1U : 0U)});
      const bool swapped =
          row > 1 && column > 1 && left[row - 1] == right[column - 2] && left[row - 2] == right[column - 1];
      if (swapped) current[column] = std::min(current[column], before_last[column - 2] + 1);
    }
    before_last = std::exchange(last, std::move(current));
  }
  return last.back();
}

// "nonmasqcidrs" of "nonmasqueradecidrs": at least half of its letters, in their order, from the first on.
bool is_short_for(std::string_view text, std::string_view name) {
  constexpr std::size_t fewest_letters = 6;
  if (text.size() < fewest_letters || 2 * text.size() < name.size() || text.front() != name.front())
    return false;
  std::size_t met = 0;
  for (const char c : name) met += met < text.size() && text[met] == c ? 1U : 0U;
  return met == text.size();
}

}  // namespace

bool equal_but_for_case(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, {}, lower, lower);
}

std::optional<std::string_view> meant_by(std::string_view text, KeyHolder holder) {
  const auto written = letters(text);
  std::optional<std::string_view> nearest;
  auto fewest = most_slips + 1;
  for (const auto& key : key_names) {
    if (!(holder == KeyHolder::agent_file ? key.in_agent_file : key.in_netconf)) continue;
    const auto name = letters(key.name);
    const auto longer = std::max(written.size(), name.size());
    const auto shorter = std::min(written.size(), name.size());
    if (is_short_for(written, name) && !nearest) nearest = key.name;
    if (longer - shorter > most_slips) continue;
    const auto slips = slips_between(written, name);
    if (slips < fewest && slips <= name.size() / letters_a_slip) {
      fewest = slips;
      nearest = key.name;
    }
  }
  return nearest;
}

}  // namespace ipmasq::config
