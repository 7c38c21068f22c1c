#include "runtime/toml.hpp"

#include <doctest/doctest.h>

#include "texts.hpp"

namespace ipmasq::runtime {

TEST_CASE("TOML of somebody who wants to be in the way") {
  const auto error = [](const std::string& text) { return test::error_of([&] { parse_toml(text, "x"); }); };
  std::string header = "[a";
  for (int count = 0; count < 129; ++count) header += ".a";
  CHECK(error("\n" + header + "]\n") == "6: x, line 2: more than 128 dots, too deep to be read");
  const std::string dots(200, '.');
  CHECK(error("a = 1  # " + dots + "\n#" + dots + "\n").empty());
  CHECK(error("a = '#" + dots + "'\n") == "6: x, line 1: more than 128 dots, too deep to be read");
  CHECK(error("a = \"\"\"\n#\"\"\"\n" + header.substr(1) + " = 1\n") ==
        "6: x, line 3: more than 128 dots, too deep to be read");
  CHECK(error("a = {b = \"\"\"\n# \"\"\", " + header.substr(1) + " = 1}\n") ==
        "6: x, line 2: more than 128 dots, too deep to be read");
  CHECK(error("a = " + std::string(100'000, '[')).starts_with("6: x, line 1: not TOML: "));
  const auto nested = [&header](int levels) {
    const auto key = header.substr(1, 255);  // of 127 dots, the most that a line has
    auto text = "[" + key + "]\n" + key + " = [\n";
    for (int count = 0; count < levels; ++count) text += "{" + key + " = [\n";
    for (int count = 0; count < levels; ++count) text += "]}";
    return text + "]\n";
  };
  CHECK(error(nested(15)).empty());
  CHECK(error(nested(17)).starts_with("6: x, line 18: not TOML: "));
  CHECK(error("a = 1\na = 2\n").starts_with("6: x, line 2: not TOML: "));
  CHECK(error(std::string("a = '\xff'\n")) ==
        "6: x, line 1: a letter that is not ASCII, outside of a comment, cannot be read here");
  CHECK(error("s[<<").starts_with("6: x"));
  CHECK(error("# \xef\xb9\xbf\na = 1\n").empty());
  CHECK(error(std::string("a = 1\0b", 7)).starts_with("6: x, line 1: not TOML: "));
  CHECK(parse_toml("a.b = [1, 2.5, true, 'x', 1979-05-27]\n[t]\n", "x").dump() ==
        R"({"a":{"b":[1,2.5,true,"x",null]},"t":{}})");
}

}  // namespace ipmasq::runtime
