// How one list becomes another: few elements removed and inserted.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace ipmasq::nat {

/// What happens to the next element: `keep` takes one of both lists, `remove` one of the old list, `insert`
/// one of the new list.
enum class Step : unsigned char { keep, remove, insert };

/// The steps from an old list to a new one, of elements that are the same where their numbers are, counted
/// from 0 to fewer than both lists have together. Time and memory grow with n log n and n: the elements that
/// stay are a longest rising run of those that both lists have. Where no list has an element twice they are
/// as many as can be. Between two that stay, all that goes is removed before anything is inserted: what
/// carries the steps out never holds both lists.
std::vector<Step> steps_between(std::span<const std::size_t> old_numbers,
                                std::span<const std::size_t> new_numbers);

/// The same, of elements that are ordered. They are not copied: lists may be long.
template <typename Element>
std::vector<Step> edit_script(const std::vector<Element>& old_elements,
                              const std::vector<Element>& new_elements) {
  const auto all = old_elements.size() + new_elements.size();
  const auto element = [&](std::size_t place) -> const Element& {
    return place < old_elements.size() ? old_elements[place] : new_elements[place - old_elements.size()];
  };
  std::vector<std::size_t> places(all);
  for (std::size_t place = 0; place < all; ++place) places[place] = place;
  std::ranges::sort(places,
                    [&](std::size_t left, std::size_t right) { return element(left) < element(right); });
  std::vector<std::size_t> numbers(all);
  for (std::size_t index = 1; index < all; ++index) {
    const bool is_new = element(places[index - 1]) < element(places[index]);
    numbers[places[index]] = numbers[places[index - 1]] + (is_new ? 1 : 0);
  }
  return steps_between(std::span(numbers).first(old_elements.size()),
                       std::span(numbers).subspan(old_elements.size()));
}

}  // namespace ipmasq::nat
