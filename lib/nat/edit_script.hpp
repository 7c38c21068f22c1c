// How one list becomes another: the fewest elements removed and inserted, by the longest common subsequence.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace ipmasq::nat {

/// What happens to the next element: `keep` takes one of both lists, `remove` one of the old list, `insert`
/// one of the new list.
enum class Step { keep, remove, insert };

/// The steps from an old list of `old_size` elements to a new one of `new_size`. `same(i, j)`: whether old
/// element i equals new element j.
template <typename Same>
std::vector<Step> edit_script(std::size_t old_size, std::size_t new_size, Same same) {
  std::size_t start = 0;
  while (start < old_size && start < new_size && same(start, start)) ++start;
  std::vector<Step> steps(start, Step::keep);
  if (start == old_size && start == new_size) return steps;

  std::vector<std::vector<std::size_t>> common(old_size + 1, std::vector<std::size_t>(new_size + 1, 0));
  for (auto row = old_size; row-- > start;) {
    for (auto column = new_size; column-- > start;) {
      common[row][column] = same(row, column) ? common[row + 1][column + 1] + 1
                                              : std::max(common[row + 1][column], common[row][column + 1]);
    }
  }
  for (auto row = start, column = start; row < old_size || column < new_size;) {
    if (row < old_size && column < new_size && same(row, column)) {
      steps.push_back(Step::keep);
      ++row;
      ++column;
    } else if (row < old_size && (column == new_size || common[row + 1][column] >= common[row][column + 1])) {
      steps.push_back(Step::remove);
      ++row;
    } else {
      steps.push_back(Step::insert);
      ++column;
    }
  }
  return steps;
}

}  // namespace ipmasq::nat
