#include "runtime/toml.hpp"

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

#include "error/error.hpp"

namespace ipmasq::runtime {

namespace {

// A key, or a table's header, is in one line, and each of its dots makes a table in a table.
constexpr auto most_dots = 128;

void check_dots(const std::string& text, const std::string& path) {
  std::istringstream lines(text);
  std::size_t number = 1;
  for (std::string line; std::getline(lines, line); ++number) {
    if (std::ranges::count(line, '.') > most_dots)
      throw Error(Kind::wrong_text,
                  path + ", line " + std::to_string(number) + ": more than 128 dots, too deep to be read");
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
  check_dots(text, path);
  const auto parsed = toml::parse(text);
  if (parsed) return to_json(parsed.table());
  const auto& error = parsed.error();
  throw Error(Kind::wrong_text, path + ", line " + std::to_string(error.source().begin.line) +
                                    ": not TOML: " + std::string(error.description()));
}

}  // namespace ipmasq::runtime
