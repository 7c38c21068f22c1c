#include "runtime/toml.hpp"

#include "error/error.hpp"

// What the library takes for granted of a text, a hostile one need not be ("s[<<"): checked in every build.
#undef NDEBUG
#define TOML_ASSERT(expr) \
  ((expr) ? void() : throw ipmasq::Error(ipmasq::Kind::wrong_text, "not TOML that can be read"))
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wterminate"  // to end is better than to read on
#endif
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
// Values in values; with most_dots it bounds how deep tables are, which the library ends one inside the
// other.
#define TOML_MAX_NESTED_VALUES 32
#include <toml++/toml.h>

#include <algorithm>
#include <sstream>
#include <string_view>

namespace ipmasq::runtime {

namespace {

// A key, or a table's header, is in one line, and each of its dots makes a table in a table.
constexpr auto most_dots = 128;

// Outside of strings the library does not stand letters that are not ASCII. Those of a comment are told by
// what comes before them in their line: its mark, and nothing that could end a string.
bool is_beyond_ascii_alone_in_comments(std::string_view line) {
  const auto* const letter = std::ranges::find_if(line, [](char each) { return (each & 0x80) != 0; });
  const std::string_view before(line.begin(), letter);
  return letter == line.end() || (before.find('#') != std::string_view::npos &&
                                  before.find_first_of("\"'") == std::string_view::npos);
}

// Without its comment. In a string of several lines the mark begins none: such a line ends the string by
// three quotes alone.
std::string_view before_comment(std::string_view line) {
  const auto mark = line.find('#');
  if (mark == std::string_view::npos) return line;
  const auto comment = line.substr(mark);
  const bool may_be_of_a_string = line.substr(0, mark).find_first_of("\"'") != std::string_view::npos ||
                                  comment.find(R"(""")") != std::string_view::npos ||
                                  comment.find("'''") != std::string_view::npos;
  return may_be_of_a_string ? line : line.substr(0, mark);
}

void check_lines(const std::string& text, const std::string& path) {
  std::istringstream lines(text);
  std::size_t number = 1;
  for (std::string line; std::getline(lines, line); ++number) {
    const auto refuse = [&](const char* why) {
      throw Error(Kind::wrong_text, path + ", line " + std::to_string(number) + ": " + why);
    };
    if (std::ranges::count(before_comment(line), '.') > most_dots)
      refuse("more than 128 dots, too deep to be read");
    if (!is_beyond_ascii_alone_in_comments(line))
      refuse("a letter that is not ASCII, outside of a comment, cannot be read here");
  }
}

cni::Json to_json(const toml::node& node) {
  if (const auto* const table = node.as_table()) {
    auto object = cni::Json::object();
    for (const auto& [key, value] : *table) object[std::string(key.str())] = to_json(value);
    return object;
  }
  if (const auto* const list = node.as_array()) {
    auto array = cni::Json::array();
    for (const auto& value : *list) array.push_back(to_json(value));
    return array;
  }
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto number = node.value_exact<std::int64_t>()) return *number;
  if (const auto number = node.value_exact<double>()) return *number;
  if (const auto flag = node.value_exact<bool>()) return *flag;
  return nullptr;
}

}  // namespace

cni::Json parse_toml(const std::string& text, const std::string& path) {
  check_lines(text, path);
  const auto parsed = [&] {
    try {
      return toml::parse(text);
    } catch (const Error& error) {
      throw Error(Kind::wrong_text, path + ": " + error.what());
    }
  }();
  if (parsed) return to_json(parsed.table());
  const auto& error = parsed.error();
  throw Error(Kind::wrong_text, path + ", line " + std::to_string(error.source().begin.line) +
                                    ": not TOML: " + std::string(error.description()));
}

}  // namespace ipmasq::runtime
