#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "config/agent_file.hpp"
#include "config/glob.hpp"
#include "config/netconf.hpp"
#include "texts.hpp"

namespace ipmasq::config {

TEST_CASE("a name by a pattern") {
  const auto matches = [](const std::string& pattern, const std::vector<std::string>& matching,
                          const std::vector<std::string>& others) {
    for (const auto& name : matching) {
      CAPTURE(pattern);
      CAPTURE(name);
      CHECK(matches_glob(pattern, name));
    }
    for (const auto& name : others) {
      CAPTURE(pattern);
      CAPTURE(name);
      CHECK_FALSE(matches_glob(pattern, name));
    }
  };
  matches("gpu-1", {"gpu-1"}, {"gpu-10", "gpu-", "xgpu-1", "GPU-1"});
  matches("gpu-*", {"gpu-", "gpu-1", "gpu-a.b"}, {"gpu", "xgpu-1"});
  matches("*", {"a", "gpu-1"}, {});
  matches("*-edge-*", {"a-edge-1", "a-edge-b-edge-", "-edge-"}, {"edge-1", "a-edge", "a-edg-e-1"});
  matches("?-*b?", {"a-bc", "a-bbc", "a-xbbx"}, {"a-b", "a-bcc", "-bc"});
  matches("**a**", {"a", "ba", "ab"}, {"b"});
  matches("[ab]", {"[ab]"}, {"a", "b"});
  CHECK(matches_glob("", ""));
  CHECK(matches_glob("*", ""));
  CHECK_FALSE(matches_glob("?", ""));
  CHECK_FALSE(matches_glob("", "a"));
  std::string pattern;
  for (int star = 0; star < 100; ++star) pattern += "a*";
  CHECK_FALSE(matches_glob(pattern + "b", std::string(10'000, 'a')));
}

TEST_CASE("sections of nodes are laid over the keys at the top, in their order") {
  const auto keys_on = [](const std::string& node) {
    const auto file = parse_agent_file(
        "nonMasqueradeCIDRs: [10.0.0.0/8]\nrandomFully: false\n"
        "nodes:\n"
        "- match: gpu-*\n  nonMasqueradeCIDRs: [10.0.0.0/8, 192.0.2.0/24]\n  Snatto: [203.0.113.7]\n"
        "- match: gpu-1\n  nonMasqueradeCIDRs:\n  - 198.51.100.0/24\n  - 10.0.0.0/8\n  catchAll: false\n",
        "F", node);
    CHECK(file->node == node);
    return cni::to_text(file->keys);
  };
  CHECK(keys_on("cpu-1") == R"({"nonMasqueradeCIDRs":["10.0.0.0/8"],"randomFully":false})");
  CHECK(
      keys_on("gpu-2") ==
      R"({"nonMasqueradeCIDRs":["10.0.0.0/8","192.0.2.0/24"],"randomFully":false,"snatTo":["203.0.113.7"]})");
  CHECK(
      keys_on("gpu-1") ==
      R"({"nonMasqueradeCIDRs":["198.51.100.0/24","10.0.0.0/8"],"randomFully":false,"snatTo":["203.0.113.7"],"catchAll":false})");
}

TEST_CASE("what counts on a node stands where its section has it") {
  const std::string text =
      "nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 192.0.2.0/24\nnodes:\n- match: a\n  nonMasqueradeCIDRs:\n  - "
      "10.0.0.0/8\n";
  const auto places_on = [&text](const std::string& node) {
    return parse_agent_file(text, "F", node)->places;
  };
  CHECK(places_on("a") == std::map<std::string, std::string>{{"nonMasqueradeCIDRs", "F, line 6"},
                                                             {"nonMasqueradeCIDRs 10.0.0.0/8", "F, line 7"}});
  CHECK(places_on("b") ==
        std::map<std::string, std::string>{{"nonMasqueradeCIDRs", "F, line 1"},
                                           {"nonMasqueradeCIDRs 10.0.0.0/8", "F, line 2"},
                                           {"nonMasqueradeCIDRs 192.0.2.0/24", "F, line 3"}});
}

TEST_CASE("a section for other nodes is as wrong as one for this one, and all that is wrong is told") {
  const auto error_on = [](const std::string& node) {
    return test::error_of([&node] {
      parse_agent_file(
          "cidrLimit: -1\nnodes:\n- match: a\n  toPorts: 5\n- match: b\n  nonMasqueradeCIDRs: [ten]\n", "F",
          node);
    });
  };
  CHECK(error_on("a") ==
        "7: F, line 1: cidrLimit is -1: expected a whole number from 0 to 10000; F, line 4: toPorts is 5: "
        "expected ports such "
        "as \"1024-29999,32768-65535\", that do not overlap; F, line 6: nonMasqueradeCIDRs is \"ten\": "
        "expected a network "
        "such as 10.0.0.0/8 or fd00::/8");
  CHECK(error_on("c") == error_on("a"));
}

TEST_CASE("a section's slips are told on all nodes, and nodes outside the file is one") {
  const auto file = parse_agent_file("nodes:\n- match: a\n  randomFuly: true\n  unknown: 1\n", "F", "b");
  CHECK(file->slips == std::vector<std::string>{
                           "F, line 3: key \"randomFuly\" is not known: did you mean \"randomFully\"?"});
  CHECK(file->warnings ==
        std::vector<std::string>{"F, line 4: key \"unknown\" is not known, and left alone"});
  CHECK(parse_agent_file("node: []\n", "F", "b")->slips ==
        std::vector<std::string>{"F, line 1: key \"node\" is not known: did you mean \"nodes\"?"});
  CHECK(parse_agent_file("mode: x\nname: y\n", "F", "b")->slips == std::vector<std::string>{});
  CHECK(parse_agent_file("nodes:\n", "F", "b")->slips ==
        std::vector<std::string>{"F, line 1: nodes has no items: write nodes: [] for none"});
  CHECK(parse_netconf(cni::parse_json(R"({"nodes": []})", "x")).warnings ==
        std::vector<std::string>{
            "key \"nodes\" of the network configuration is left alone: expected it in the file that "
            "configFile names"});
}

}  // namespace ipmasq::config
