#include "config/agent_file.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>
#include <map>

#include "config/netconf_reading.hpp"
#include "temporary_folder.hpp"
#include "texts.hpp"

namespace ipmasq::config {

namespace {

// What the file says, as one line of JSON; "nothing" for none, "CODE: MESSAGE" of an error.
std::string parsed(const std::string& text) {
  std::string said;
  const auto error = test::error_of([&] {
    const auto file = parse_agent_file(text, "F", "node-1");
    said = file ? cni::to_text(file->keys) : "nothing";
    if (file) {
      for (const auto& slip : file->slips) said += " " + slip;
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
  CHECK(
      parsed("nonMasqueradeCIDRs:\nmasqLinkLocal:\ncidrLimit: -3\n") ==
      R"({"nonMasqueradeCIDRs":[],"cidrLimit":-3} F, line 1: nonMasqueradeCIDRs has no items: write nonMasqueradeCIDRs: [] for none)");
  CHECK(parsed("NonMasqueradeCidrs: []\nstateDir: /tmp\n") ==
        R"({"nonMasqueradeCIDRs":[]} F, line 2: key "stateDir" is not known, and left alone)");
}

TEST_CASE("where each key and item stands is remembered") {
  const auto file =
      parse_agent_file("\nnonMasqueradeCIDRs:\n- 10.0.0.0/8\n\n- 192.0.2.0/24\n", "F", "node-1").value();
  CHECK(file.places == std::map<std::string, std::string>{{"nonMasqueradeCIDRs", "F, line 2"},
                                                          {"nonMasqueradeCIDRs 10.0.0.0/8", "F, line 3"},
                                                          {"nonMasqueradeCIDRs 192.0.2.0/24", "F, line 5"}});
}

TEST_CASE("what is no list of keys is an error that names the line") {
  CHECK(parsed("a: b: c") ==
        "7: F, line 1: not YAML: mapping values are not allowed in this context at column 5: indent the keys "
        "of one "
        "map alike, and put text that holds \": \" or ends with \":\" in quotes");
  CHECK(parsed("- a") == "7: F, line 1: expected keys such as nonMasqueradeCIDRs");
  CHECK(parsed("toPorts: [[[[[[[[[[1]]]]]]]]]]") == "7: F, line 1: too much for a list of networks");
}

TEST_CASE("plain text is read as Kubernetes reads it, what is in quotes is text") {
  const auto read = [](const std::string& text) { return parsed("snatTo: [" + text + "]"); };
  const auto reads = [&read](const std::string& text, const std::string& json) {
    CAPTURE(text);
    CHECK(read(text) == "{\"snatTo\":[" + json + "]}");
  };
  for (const auto* const word : {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
    reads(word, "true");
  for (const auto* const word : {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
    reads(word, "false");
  for (const auto* const word : {"~", "null", "Null", "NULL", "!!null ''"}) reads(word, "null");
  for (const auto* const word : {"tRuE", "oN", "nUll", "nO", ".inf", ".NaN", "0x", "1e400", "1:30",
                                 "2001-01-01", "10.0.0.0/8", "fd00::/8", "\u201310"})
    reads(word, "\"" + std::string(word) + "\"");
  for (const auto& [text, number] :
       std::map<std::string, std::string>{{"16", "16"},
                                          {"0x10", "16"},
                                          {"010", "8"},
                                          {"0o10", "8"},
                                          {"0b11", "3"},
                                          {"1_000", "1000"},
                                          {"+5", "5"},
                                          {"-5", "-5"},
                                          {"-0x1F", "-31"},
                                          {"08", "8"},
                                          {"64.0", "64"},
                                          {"1e3", "1000"},
                                          {"5.", "5"},
                                          {".5", "0.5"},
                                          {"1.50", "1.5"},
                                          {"18446744073709551615", "18446744073709551615"},
                                          {"!!int '5'", "5"},
                                          {"!!float 5", "5"}})
    reads(text, number);
  for (const auto* const text : {"'true'", "\"true\"", "!!str true", "!own true"}) reads(text, "\"true\"");
  CHECK(read("!!int abc") == "7: F, line 1: not YAML: \"abc\" is no int, as its tag says");
}

TEST_CASE("anchors, aliases and merges") {
  CHECK(parsed("a: &a [10.0.0.0/8]\nnonMasqueradeCIDRs: *a\n") ==
        R"({"nonMasqueradeCIDRs":["10.0.0.0/8"]} F, line 1: key "a" is not known, and left alone)");
  CHECK(parsed("cidrLimit: 7\n<<: {cidrLimit: 5, toPorts: 80-90}\n") ==
        R"({"cidrLimit":7,"toPorts":"80-90"})");
  CHECK(parsed("<<: [{cidrLimit: 5}, {cidrLimit: 6, toPorts: 80-90}]\n") ==
        R"({"cidrLimit":5,"toPorts":"80-90"})");
  CHECK(parsed("x: &x {cidrLimit: 5}\n<<: *x\n") ==
        R"({"cidrLimit":5} F, line 1: key "x" is not known, and left alone)");
  CHECK(parsed("x: &x {<<: {cidrLimit: 5}}\n<<: *x\n") ==
        R"({"cidrLimit":5} F, line 1: key "x" is not known, and left alone)");
  CHECK(parsed("'<<': {cidrLimit: 5}\n") ==
        "7: F, line 1: key \"<<\" is not known, and holds cidrLimit: expected it at the top of the file, "
        "without "
        "indentation");
  CHECK(parsed("<<: 5\n") ==
        "7: F, line 1: not YAML: << merges what is no map: expected a map or a list of maps");
  CHECK(parsed("toPorts: &a 1-2\nx: &a 3-4\nexemption: *a\n")
            .starts_with(R"({"toPorts":"1-2","exemption":"3-4"})"));
  CHECK(parsed("a: &a [*a]\n") == "7: F, line 1: not YAML: &a holds itself, as *a");
  CHECK(parsed("a: *nowhere\n") ==
        "7: F, line 1: not YAML: *nowhere names nothing: expected &nowhere before it, or quotes around text "
        "that "
        "begins with \"*\"");
}

TEST_CASE("a bomb of aliases or merges is refused before it goes off") {
  std::string lists = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  std::string maps = "a0: &a0 {b0: 1, b1: 1, b2: 1, b3: 1}\n";
  for (int level = 1; level < 7; ++level) {
    const auto alias = "*a" + std::to_string(level - 1);
    const auto name = "a" + std::to_string(level);
    lists += name + ": &" + name + " [";
    maps += name + ": &" + name + " {<<: [";
    for (int item = 0; item < 10; ++item) {
      lists += alias + ",";
      maps += alias + ",";
    }
    lists += "]\n";
    maps += "]}\n";
  }
  CHECK(parsed(lists + "toPorts: *a6\n").ends_with("too much for a list of networks"));
  CHECK(parsed(maps + "<<: *a6\n").ends_with("too much for a list of networks"));
  CHECK(parsed("a: " + std::string(400'000, '[')).ends_with("too much for a list of networks"));
  CHECK(parsed("a: " + std::string(400'000, '{')).starts_with("7: F, line 1: "));
  std::string many = "a:\n";
  for (int item = 0; item < 60'000; ++item) many += "-\n";
  CHECK(parsed(many) == "7: F, line 49999: too much for a list of networks");
}

TEST_CASE("a key that stands twice, a second document, keys within another key") {
  CHECK(parsed("cidrLimit: 1\n\ncidrLimit: 2\n") ==
        "7: F, line 3: key \"cidrLimit\" stands here again, after line 1: expected it once");
  CHECK(parsed("cidrLimit: 1\ncidrlimit: 2\n") ==
        "7: F, line 2: key \"cidrlimit\" stands here again, after line 1: expected it once");
  CHECK(parsed("cidrLimit: 1\n---\ncidrLimit: 2\n") ==
        "7: F, line 2: a second document: expected one, without a line \"---\" between keys");
  CHECK(parsed("---\n---\ncidrLimit: 2\n").starts_with("7: F, line 2: a second document"));
  CHECK(parsed("cidrLimit: 1\n---\n# nothing\n") == R"({"cidrLimit":1})");
  const std::string expected = ": expected it at the top of the file, without indentation";
  CHECK(parsed("config: |\n  nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n") ==
        "7: F, line 1: key \"config\" is not known, and holds nonMasqueradeCIDRs" + expected);
  CHECK(parsed("data:\n  cidrLimit: 5\n") ==
        "7: F, line 1: key \"data\" is not known, and holds cidrLimit" + expected);
  CHECK(parsed("kind: ConfigMap\ndata:\n  config: |\n    cidrLimit: 5\n") ==
        "7: F, line 2: key \"data\" is not known, and holds cidrLimit" + expected);
  CHECK(parsed("{{ .Values.list }}: 1\n") ==
        "7: F, line 1: a key that is no text: expected keys such as nonMasqueradeCIDRs (is this a template "
        "that "
        "nothing filled in?)");
}

TEST_CASE("a key that is misspelt is named with the one that is meant") {
  const auto warned = [](const std::string& key) { return parsed(key + ": 1\n"); };
  const auto told = [](const std::string& key, const std::string& meant) {
    return "{} F, line 1: key \"" + key + "\" is not known" +
           (meant.empty() ? ", and left alone" : ": did you mean \"" + meant + "\"?");
  };
  CHECK(warned("nonMasqueradeCIDR") == told("nonMasqueradeCIDR", "nonMasqueradeCIDRs"));
  CHECK(warned("nonmasqeuradecidrs") == told("nonmasqeuradecidrs", "nonMasqueradeCIDRs"));
  CHECK(warned("masqLinkLocals") == told("masqLinkLocals", "masqLinkLocal"));
  CHECK(warned("masqLinkLocalIPv") == told("masqLinkLocalIPv", "masqLinkLocalIPv6"));
  CHECK(warned("\u00a0cidrLimit") == told("\\u00a0cidrLimit", "cidrLimit"));
  CHECK(warned("non_masquerade_cidrs") == told("non_masquerade_cidrs", "nonMasqueradeCIDRs"));
  CHECK(warned("Non-Masquerade-CIDR") == told("Non-Masquerade-CIDR", "nonMasqueradeCIDRs"));
  CHECK(warned("nonMasqCIDRs") == told("nonMasqCIDRs", "nonMasqueradeCIDRs"));
  CHECK(warned("masquerade") == told("masquerade", "masqueradeCIDRs"));
  CHECK(warned("stateDir") == told("stateDir", ""));
  CHECK(warned("version") == told("version", ""));
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
        "7: " + start +
            "/ip-masq-c, line 2: not YAML: did not find expected node content at column 1: close each [ and "
            "{; " +
            start + "/ip-masq-d, line 1: expected keys such as nonMasqueradeCIDRs");
}

TEST_CASE("each file of a folder is checked by itself, and lists count together") {
  const test::TemporaryFolder folder;
  const auto write = [&folder](const std::string& name, const std::string& text) {
    std::ofstream(folder.path() / name) << text;
  };
  const auto start = folder.path().string();
  write("ip-masq-a", "cidrLimit: many\nnonMasqueradeCIDRs: 10.0.0.0/8\n");
  write("ip-masq-b", "cidrLimit: 7\nnonMasqueradeCIDRs: [10.0.0.0/8]\n");
  CHECK(test::error_of([&folder] { read_agent_file(folder.path()); }) ==
        "7: " + start +
            "/ip-masq-a, line 1: cidrLimit is \"many\": expected a whole number from 0 to 10000; " + start +
            "/ip-masq-a, line 2: nonMasqueradeCIDRs is \"10.0.0.0/8\": expected a list of networks such as "
            "10.0.0.0/8 or fd00::/8");
  // What only the lists of both together make wrong is no file's own fault.
  write("ip-masq-a", "cidrLimit: 1\nnonMasqueradeCIDRs: [172.16.0.0/12]\n");
  write("ip-masq-b", "masqueradeCIDRs: [10.0.0.0/8]\n");
  const auto file = read_agent_file(folder.path());
  REQUIRE(file);
  CHECK(test::error_of([&file] { check_netconf(cni::Json::object(), &*file); }) ==
        "7: " + start +
            "/ip-masq-a, line 2: nonMasqueradeCIDRs and masqueradeCIDRs have 2 entries: expected at most 1 "
            "(cidrLimit)");
}

TEST_CASE("of a folder only regular files count, and not too many") {
  const test::TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "ip-masq-folder");
  std::filesystem::create_directory(folder.path() / "..data");
  std::ofstream(folder.path() / "..data" / "ip-masq-agent") << "cidrLimit: 5\n";
  std::filesystem::create_symlink("..data/ip-masq-agent", folder.path() / "ip-masq-agent");
  std::filesystem::create_symlink("nowhere", folder.path() / "ip-masq-dangling");
  REQUIRE(::mkfifo((folder.path() / "ip-masq-pipe").c_str(), 0600) == 0);
  const auto file = read_agent_file(folder.path());
  REQUIRE(file);
  CHECK(cni::to_text(file->keys) == R"({"cidrLimit":5})");
  const auto start = folder.path().string();
  CHECK(file->warnings ==
        std::vector<std::string>{start + "/ip-masq-dangling is no regular file, and left alone",
                                 start + "/ip-masq-folder is no regular file, and left alone",
                                 start + "/ip-masq-pipe is no regular file, and left alone"});
  CHECK(test::error_of([&folder] { read_agent_file(folder.path() / "ip-masq-pipe"); }) ==
        "7: " + start + "/ip-masq-pipe is neither a file nor a folder of files");
  for (int number = 0; number < 64; ++number)
    std::ofstream(folder.path() / ("ip-masq-" + std::to_string(number))) << "cidrLimit: 5\n";
  CHECK(test::error_of([&folder] { read_agent_file(folder.path()); }) ==
        "7: the folder " + start + " has more than 64 files whose name begins with ip-masq");
}

}  // namespace ipmasq::config
