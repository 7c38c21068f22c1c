#include "conflist/conflist.hpp"

#include <doctest/doctest.h>

namespace ipmasq::conflist {

namespace {

std::string installed(const std::string& text) {
  return cni::to_text(with_our_entry(cni::Json::parse(text)));
}

}  // namespace

TEST_CASE("the entry goes to the end, once, and everything else stays in its order") {
  CHECK(installed(R"({"z":1,"plugins":[{"type":"bridge","b":2,"a":1}],"a":2})") ==
        R"({"z":1,"plugins":[{"type":"bridge","b":2,"a":1},{"type":"ip-masq"}],"a":2})");
  const auto there = R"({"plugins":[{"type":"ip-masq","catchAll":false},{"type":"bridge"}]})";
  CHECK(installed(there) == there);
  CHECK(cni::to_text(without_our_entry(cni::Json::parse(there))) == R"({"plugins":[{"type":"bridge"}]})");
}

TEST_CASE("a single plugin becomes a list") {
  CHECK(
      installed(R"({"type":"bridge","name":"n","bridge":"cni0","cniVersion":"1.0.0"})") ==
      R"({"name":"n","cniVersion":"1.0.0","plugins":[{"type":"bridge","bridge":"cni0"},{"type":"ip-masq"}]})");
}

TEST_CASE(
    "flannel's delegate says that the bridge plugin does not masquerade, unless it says something already") {
  CHECK(installed(R"({"plugins":[{"type":"flannel"}]})") ==
        R"({"plugins":[{"type":"flannel","delegate":{"ipMasq":false}},{"type":"ip-masq"}]})");
  CHECK(installed(R"({"plugins":[{"type":"flannel","delegate":{"ipMasq":true}}]})") ==
        R"({"plugins":[{"type":"flannel","delegate":{"ipMasq":true}},{"type":"ip-masq"}]})");
  CHECK(installed(R"({"plugins":[{"type":"flannel","delegate":7}]})") ==
        R"({"plugins":[{"type":"flannel","delegate":7},{"type":"ip-masq"}]})");
}

TEST_CASE("what holds a plugin") {
  CHECK(holds(cni::Json::parse(R"({"type":"bridge"})"), "bridge"));
  CHECK(holds(cni::Json::parse(R"({"plugins":[{"type":"flannel"},{"type":"bridge"}]})"), "bridge"));
  for (const auto* const text :
       {"[]", "7", R"({"plugins":"bridge"})", R"({"plugins":["bridge",{"type":7}]})"}) {
    CAPTURE(text);
    CHECK_FALSE(holds(cni::Json::parse(text), "bridge"));
  }
}

}  // namespace ipmasq::conflist
