#include "nat/edit_script.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "growth.hpp"

namespace ipmasq::nat {

namespace {

using Texts = std::vector<std::string>;

std::size_t kept(const std::vector<Step>& steps) {
  return static_cast<std::size_t>(std::ranges::count(steps, Step::keep));
}

// Carries the steps out, as a back end does.
void check_leads_there(const Texts& old_texts, const Texts& new_texts) {
  std::size_t row = 0;
  std::size_t column = 0;
  for (const auto step : edit_script(old_texts, new_texts)) {
    if (step == Step::keep) REQUIRE(old_texts.at(row) == new_texts.at(column));
    if (step != Step::insert) ++row;
    if (step != Step::remove) ++column;
  }
  REQUIRE(row == old_texts.size());
  REQUIRE(column == new_texts.size());
}

std::size_t longest_common(const Texts& left, const Texts& right) {
  std::vector<std::vector<std::size_t>> table(left.size() + 1, std::vector<std::size_t>(right.size() + 1));
  for (auto row = left.size(); row-- > 0;) {
    for (auto column = right.size(); column-- > 0;) {
      table[row][column] = left[row] == right[column]
                               ? table[row + 1][column + 1] + 1
                               : std::max(table[row + 1][column], table[row][column + 1]);
    }
  }
  return table[0][0];
}

}  // namespace

TEST_CASE("all goes before anything comes, and what both have stays") {
  using enum Step;
  const auto steps = [](const Texts& left, const Texts& right) { return edit_script(left, right); };
  CHECK(steps({}, {}).empty());
  CHECK(steps({"a"}, {"b"}) == std::vector{remove, insert});
  CHECK(steps({"a", "b", "c"}, {"a", "x", "y", "c"}) == std::vector{keep, remove, insert, insert, keep});
  CHECK(steps({"a", "b"}, {"b", "a"}).size() == 3);
  CHECK(steps({"a", "a"}, {"a", "a", "a"}) == std::vector{keep, keep, insert});
}

TEST_CASE("any list becomes any other, with as many kept as can be where none has an element twice") {
  std::mt19937 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same lists each time
  const auto below = [&random](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
  };
  const Texts letters{"a", "b", "c", "d", "e", "f", "g", "h"};
  const auto any = [&] {
    Texts texts;
    for (auto left = below(10); left > 0; --left) texts.push_back(letters[below(letters.size())]);
    return texts;
  };
  const auto distinct = [&] {
    auto texts = letters;
    std::ranges::shuffle(texts, random);
    texts.resize(below(texts.size() + 1));
    return texts;
  };
  for (int round = 0; round < 5000; ++round) {
    check_leads_there(any(), any());
    const auto left = distinct();
    const auto right = distinct();
    check_leads_there(left, right);
    REQUIRE(kept(edit_script(left, right)) == longest_common(left, right));
  }
}

TEST_CASE("long lists are no matter") {
  Texts numbers(100'000);
  for (std::size_t number = 0; number < numbers.size(); ++number) numbers[number] = std::to_string(number);
  const Texts odd_first = [&numbers] {
    auto texts = numbers;
    std::stable_partition(texts.begin(), texts.end(),
                          [](const std::string& text) { return text.back() % 2 == 1; });
    return texts;
  }();
  const Texts reversed(numbers.rbegin(), numbers.rend());
  CHECK(kept(edit_script(numbers, odd_first)) > numbers.size() / 2 - 1);
  CHECK(kept(edit_script(numbers, reversed)) == 1);
  CHECK(edit_script(numbers, Texts(numbers.size(), "same")).size() == 2 * numbers.size());
  const auto unlike = [&numbers](std::size_t size) {
    const Texts some(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(size));
    return [some, reversed = Texts(some.rbegin(), some.rend()), same = Texts(size, "same")] {
      edit_script(some, reversed);
      edit_script(some, same);
    };
  };
  CHECK(test::growth_by_hundred(numbers.size() / 100, unlike) < test::far_below_a_square);
}

}  // namespace ipmasq::nat
