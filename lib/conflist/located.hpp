// JSON text with the place of each value in it, for edits that leave every other byte as it is.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ipmasq::conflist {

/// A value of a text: [begin, end) are its bytes.
struct Located {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t key_begin = 0;       ///< of a member: where its key begins; else `begin`
  std::string key = {};            ///< of a member
  std::vector<Located> held = {};  ///< members of an object, elements of an array, as they stand

  std::string_view in(std::string_view text) const { return text.substr(begin, end - begin); }

  /// Of a key that stands more than once the last, which is the one that counts; nullptr where there is none.
  const Located* member(std::string_view name) const;
};

/// `text` is JSON that cni::parse_json takes, or would if it were UTF-8 (utf8.hpp).
Located locate(std::string_view text);

/// The text with `added` (a member or an element) as the last of `container`, apart from the one before as
/// that one is from what precedes it.
std::string with_last(const std::string& text, const Located& container, std::string_view added);

/// The text without the value number `index` of `container`, and without what parted it from its neighbour.
/// What with_last put in is taken out again to the byte.
std::string without(const std::string& text, const Located& container, std::size_t index);

/// The text with `value` instead of the one at `place`.
std::string with_value(const std::string& text, const Located& place, std::string_view value);

}  // namespace ipmasq::conflist
