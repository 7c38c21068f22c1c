#include "nat/edit_script.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

namespace ipmasq::nat {

namespace {

constexpr auto none = std::numeric_limits<std::size_t>::max();

// For each new element the old one that it is, or none: of several alike the first is the first, and so on.
std::vector<std::size_t> partners(std::span<const std::size_t> old_numbers,
                                  std::span<const std::size_t> new_numbers, std::size_t numbers) {
  std::vector<std::size_t> first(numbers, none);  // of each number, of those not yet taken
  std::vector<std::size_t> next(old_numbers.size(), none);
  for (auto row = old_numbers.size(); row-- > 0;) next[row] = std::exchange(first[old_numbers[row]], row);
  std::vector<std::size_t> partner;
  partner.reserve(new_numbers.size());
  for (const auto number : new_numbers) {
    const auto row = first[number];
    partner.push_back(row);
    if (row != none) first[number] = next[row];
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

std::vector<Step> steps_between(std::span<const std::size_t> old_numbers,
                                std::span<const std::size_t> new_numbers) {
  // What both begin and end with stays, whatever is in between: there an element may stand twice.
  const auto shorter = std::min(old_numbers.size(), new_numbers.size());
  std::size_t start = 0;
  while (start < shorter && old_numbers[start] == new_numbers[start]) ++start;
  std::size_t tail = 0;
  while (tail < shorter - start &&
         old_numbers[old_numbers.size() - 1 - tail] == new_numbers[new_numbers.size() - 1 - tail])
    ++tail;
  const auto old_between = old_numbers.subspan(start, old_numbers.size() - start - tail);
  const auto new_between = new_numbers.subspan(start, new_numbers.size() - start - tail);

  const auto partner = partners(old_between, new_between, old_numbers.size() + new_numbers.size());
  const auto stays = longest_rising_run(partner);
  std::vector<Step> steps(start, Step::keep);
  steps.reserve(old_numbers.size() + new_numbers.size());
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
