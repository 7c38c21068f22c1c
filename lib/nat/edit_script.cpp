#include "nat/edit_script.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <unordered_map>

namespace ipmasq::nat {

namespace {

constexpr auto none = std::numeric_limits<std::size_t>::max();

// For each new element the old one that it is, or none: of several alike the first is the first, and so on.
std::vector<std::size_t> partners(std::span<const std::string> old_texts,
                                  std::span<const std::string> new_texts) {
  std::unordered_map<std::string_view, std::vector<std::size_t>>
      places;  // those not yet taken, the first one last
  for (auto row = old_texts.size(); row-- > 0;) places[old_texts[row]].push_back(row);
  std::vector<std::size_t> partner(new_texts.size(), none);
  for (std::size_t column = 0; column < new_texts.size(); ++column) {
    const auto found = places.find(new_texts[column]);
    if (found == places.end() || found->second.empty()) continue;
    partner[column] = found->second.back();
    found->second.pop_back();
  }
  return partner;
}

// Whether each new element stays: those of a longest run whose partners rise (patience sorting).
std::vector<bool> longest_rising_run(const std::vector<std::size_t>& partner) {
  std::vector<std::size_t> ends;  // the column with the lowest partner that ends a run of each length
  std::vector<std::size_t> before(partner.size(), none);
  for (std::size_t column = 0; column < partner.size(); ++column) {
    if (partner[column] == none) continue;
    const auto at =
        std::ranges::lower_bound(ends, partner[column], {}, [&](std::size_t end) { return partner[end]; });
    if (at != ends.begin()) before[column] = *std::prev(at);
    at == ends.end() ? ends.push_back(column) : void(*at = column);
  }
  std::vector<bool> stays(partner.size(), false);
  for (auto column = ends.empty() ? none : ends.back(); column != none; column = before[column])
    stays[column] = true;
  return stays;
}

}  // namespace

std::vector<Step> edit_script(const std::vector<std::string>& old_texts,
                              const std::vector<std::string>& new_texts) {
  // What both begin and end with stays, whatever is in between: there an element may stand twice.
  const auto shorter = std::min(old_texts.size(), new_texts.size());
  std::size_t start = 0;
  while (start < shorter && old_texts[start] == new_texts[start]) ++start;
  std::size_t tail = 0;
  while (tail < shorter - start &&
         old_texts[old_texts.size() - 1 - tail] == new_texts[new_texts.size() - 1 - tail])
    ++tail;
  const auto old_between = std::span(old_texts).subspan(start, old_texts.size() - start - tail);
  const auto new_between = std::span(new_texts).subspan(start, new_texts.size() - start - tail);

  const auto partner = partners(old_between, new_between);
  const auto stays = longest_rising_run(partner);
  std::vector<Step> steps(start, Step::keep);
  steps.reserve(old_texts.size() + new_texts.size());
  std::size_t row = 0;
  std::size_t column = 0;
  const auto change_until = [&](std::size_t next_row, std::size_t next_column) {
    steps.insert(steps.end(), next_row - row, Step::remove);
    steps.insert(steps.end(), next_column - column, Step::insert);
    row = next_row;
    column = next_column;
  };
  for (std::size_t next = 0; next < new_between.size(); ++next) {
    if (!stays[next]) continue;
    change_until(partner[next], next);
    steps.push_back(Step::keep);
    ++row;
    ++column;
  }
  change_until(old_between.size(), new_between.size());
  steps.insert(steps.end(), tail, Step::keep);
  return steps;
}

}  // namespace ipmasq::nat
