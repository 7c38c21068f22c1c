#include "config/agent_file.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "temporary_folder.hpp"
#include "texts.hpp"

namespace ipmasq::config {

namespace {

// What the file says, as one line of JSON; "nothing" for none, "CODE: MESSAGE" of an error.
std::string parsed(const std::string& text) {
  std::string said;
  const auto error = test::error_of([&] {
    const auto file = parse_agent_file(text, "F");
    said = file ? cni::to_text(file->keys) : "nothing";
    if (file) {
      for (const auto& warning : file->warnings) said += " " + warning;
    }
  });
  return error.empty() ? said : error;
}

}  // namespace

TEST_CASE("YAML and JSON come out as a netconf would have them") {
  CHECK(parsed("") == "nothing");
  CHECK(parsed("# only this\n\n") == "nothing");
  CHECK(parsed("{}") == "{}");
  CHECK(
      parsed(
          "nonMasqueradeCIDRs: [10.0.0.0/8, 'fd00::/8']\ncidrLimit: 7\nmasqLinkLocal: on\ntoPorts: '5'\n") ==
      R"({"nonMasqueradeCIDRs":["10.0.0.0/8","fd00::/8"],"cidrLimit":7,"masqLinkLocal":true,"toPorts":"5"})");
  CHECK(parsed(R"({"masqLinkLocal": false, "resyncInterval": "60s"})") ==
        R"({"masqLinkLocal":false,"resyncInterval":"60s"})");
  CHECK(parsed("nonMasqueradeCIDRs:\nmasqLinkLocal:\ncidrLimit: -3\n") ==
        R"({"nonMasqueradeCIDRs":[],"cidrLimit":-3})");
  CHECK(parsed("NonMasqueradeCidrs: []\nstateDir: /tmp\n") ==
        R"({"nonMasqueradeCIDRs":[]} F, line 2: key "stateDir" is not known, and left alone)");
}

TEST_CASE("where each key and item stands is remembered") {
  const auto file = parse_agent_file("\nnonMasqueradeCIDRs:\n- 10.0.0.0/8\n\n- 192.0.2.0/24\n", "F").value();
  CHECK(file.places == std::map<std::string, std::string>{{"nonMasqueradeCIDRs", "F, line 2"},
                                                          {"nonMasqueradeCIDRs 10.0.0.0/8", "F, line 3"},
                                                          {"nonMasqueradeCIDRs 192.0.2.0/24", "F, line 5"}});
}

TEST_CASE("what is no list of keys is an error that names the line") {
  CHECK(parsed("a: b: c") == "7: F, line 1: not YAML: illegal map value");
  CHECK(parsed("- a") == "7: F, line 1: expected keys such as nonMasqueradeCIDRs");
  CHECK(parsed("toPorts: [[[[[[[[[[1]]]]]]]]]]") == "7: F, line 1: too much for a list of networks");
}

TEST_CASE("the files of a folder are one") {
  const test::TemporaryFolder folder;
  CHECK_FALSE(read_agent_file(folder.path()));
  CHECK_FALSE(read_agent_file(folder.path() / "nowhere"));
  std::ofstream(folder.path() / "ip-masq-a")
      << "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqLinkLocal: true\ncidrLimit: 5\n";
  std::ofstream(folder.path() / "ip-masq-b")
      << "nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\nmasqLinkLocal: false\ncidrLimit: 6\n";
  std::ofstream(folder.path() / "z") << "[";
  CHECK(cni::to_text(read_agent_file(folder.path()).value().keys) ==
        R"({"nonMasqueradeCIDRs":["10.0.0.0/8","fd00::/8"],"masqLinkLocal":true,"cidrLimit":6})");
  std::ofstream(folder.path() / "ip-masq-c") << "[";
  std::ofstream(folder.path() / "ip-masq-d") << "- a";
  const auto start = folder.path().string();
  CHECK(test::error_of([&folder] { read_agent_file(folder.path()); }) ==
        "7: " + start + "/ip-masq-c, line 1: not YAML: end of sequence flow not found; " + start +
            "/ip-masq-d, line 1: expected keys such as nonMasqueradeCIDRs");
}

}  // namespace ipmasq::config
