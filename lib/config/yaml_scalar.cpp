#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <system_error>

#include "config/yaml.hpp"
#include "error/error.hpp"

namespace ipmasq::config {

namespace {

using cni::Json;

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

// The digits of strconv.ParseInt with base 0.
struct Digits {
  std::string_view text;
  int base = 10;
};

Digits digits_of(std::string_view text) {
  constexpr int binary = 2;
  constexpr int octal = 8;
  constexpr int hexadecimal = 16;
  if (text.size() < 2 || text[0] != '0') return {.text = text};
  const auto after_prefix = text.substr(2);
  if (text[1] == 'x' || text[1] == 'X') return {after_prefix, hexadecimal};
  if (text[1] == 'o' || text[1] == 'O') return {after_prefix, octal};
  if (text[1] == 'b' || text[1] == 'B') return {after_prefix, binary};
  return {text.substr(1), octal};
}

std::optional<Json> integer(std::string_view text) {
  const bool is_negative = text.starts_with('-');
  if (is_negative || text.starts_with('+')) text.remove_prefix(1);
  const auto digits = digits_of(text);
  std::uint64_t number = 0;
  const auto* const end = digits.text.data() + digits.text.size();
  const auto [stop, error] = std::from_chars(digits.text.data(), end, number, digits.base);
  if (error != std::errc{} || stop != end) return std::nullopt;
  if (!is_negative) return Json(number);
  constexpr auto lowest = std::uint64_t{1} << 63U;
  if (number > lowest) return std::nullopt;
  return Json(static_cast<std::int64_t>(0 - number));
}

// A whole one is an integer, as encoding/json of Go prints it.
std::optional<Json> decimal(std::string_view text) {
  if (text.find_first_not_of("0123456789.eE+-") != std::string_view::npos) return std::nullopt;
  if (text.starts_with('+')) text.remove_prefix(1);
  double number = 0;
  const auto* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  constexpr double exact = 9007199254740992.0;  // 2^53
  if (number != std::floor(number) || std::abs(number) > exact) return Json(number);
  return number < 0 ? Json(static_cast<std::int64_t>(number)) : Json(static_cast<std::uint64_t>(number));
}

Json plain_value(const std::string& text) {
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (is_one_of(text, {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})) return true;
  if (is_one_of(text, {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}))
    return false;
  if (std::string_view("+-.0123456789").find(text.front()) == std::string_view::npos) return text;
  auto number = text;
  std::erase(number, '_');
  auto value = integer(number);
  if (!value) value = decimal(number);
  return value.value_or(text);
}

}  // namespace

Json scalar_value(const YamlNode& node, const std::filesystem::path& path) {
  if (node.tag.empty()) return node.is_quoted ? Json(node.text) : plain_value(node.text);
  struct Tag {
    std::string_view name;
    bool (Json::*holds)() const noexcept;
  };
  static constexpr std::array<Tag, 4> tags{{{"tag:yaml.org,2002:null", &Json::is_null},
                                            {"tag:yaml.org,2002:bool", &Json::is_boolean},
                                            {"tag:yaml.org,2002:int", &Json::is_number_integer},
                                            {"tag:yaml.org,2002:float", &Json::is_number}}};
  const auto* const tag = std::ranges::find(tags, node.tag, &Tag::name);
  if (tag == tags.end()) return node.text;
  auto value = plain_value(node.text);
  if ((value.*(tag->holds))()) return value;
  throw Error(Kind::wrong_config, place_of(path, node.line) + ": not YAML: " + cni::excerpt(node.text) +
                                      " is no " + std::string(tag->name.substr(tag->name.rfind(':') + 1)) +
                                      ", as its tag says");
}

}  // namespace ipmasq::config
