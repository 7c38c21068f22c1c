#include "conflist/conflist.hpp"

#include <doctest/doctest.h>

#include "conflist/located.hpp"
#include "conflist/subnet_files.hpp"
#include "conflist/utf8.hpp"

namespace ipmasq::conflist {

namespace {

constexpr auto flannel =
    R"({"name":"cbr0","cniVersion":"0.3.1","plugins":[{"type":"flannel"},{"type":"portmap"}]})";

std::vector<Network> of(const std::string& name, const std::string& text) {
  return read_networks({{.name = name, .text = text}});
}

// What libcni makes of a file: "loaded", or why not.
std::string loading(const std::string& name, const std::string& text) {
  const auto networks = of(name, text);
  return networks.front().is_loaded() ? "loaded" : networks.front().reason;
}

std::string list(const std::string& keys, const std::string& plugins) {
  return "{" + keys + R"(,"plugins":[)" + plugins + "]}";
}

// Why an ADD of ours would fail.
std::string failure(const std::string& text) {
  std::string lines;
  for (const auto& reason : why_add_would_fail(of("x.conflist", text).front())) lines += reason + "\n";
  return lines;
}

}  // namespace

TEST_CASE("lists are loaded from .conflist alone, single plugins from .conf and .json") {
  CHECK(loading("x.conflist", flannel) == "loaded");
  CHECK(loading("x.conf", flannel) ==
        "it is a list: a list is loaded from a file whose name ends in .conflist alone");
  CHECK(loading("x.json", R"({"type":"bridge"})") == "loaded");
  CHECK(loading("x.conf", R"({"type":"bridge","plugins":[]})") == "loaded");
  CHECK(
      loading("x.conflist", R"({"name":"lo","type":"loopback"})") ==
      "it has no \"plugins\": a single plugin is loaded from a file whose name ends in .conf or .json alone");
}

TEST_CASE("what libcni refuses") {
  CHECK(loading("x.conf", "") == "it is not JSON: it goes wrong at byte 1");
  CHECK(loading("x.conf", "[]") == "it is []: expected an object");
  CHECK(loading("x.conf", "{}") == "a plugin in it has no \"type\"");
  CHECK(loading("x.conf", R"({"type":7})") == "\"type\" is 7: expected a string");
  CHECK(loading("x.conf", "\xef\xbb\xbf{\"type\":\"bridge\"}") == "it begins with a byte order mark");
  CHECK(loading("x.conflist", R"({"plugins":[{"type":"bridge"}]})") == "it has no \"name\"");
  CHECK(loading("x.conflist", R"({"name":7})") == "\"name\" is 7: expected a string");
  CHECK(loading("x.conflist", R"({"name":"n","cniVersion":1})") == "\"cniVersion\" is 1: expected a string");
  CHECK(loading("x.conflist", R"({"name":"n","plugins":{}})") == "\"plugins\" is {}: expected an array");
  CHECK(loading("x.conflist", R"({"name":"n","plugins":[]})") == "\"plugins\" is empty");
  CHECK(loading("x.conflist", R"({"name":"n","plugins":["bridge"]})") ==
        "a plugin in it is \"bridge\": expected an object");
}

TEST_CASE("values that libcni reads into types of its own") {
  for (const auto& [keys, problem] : std::vector<std::pair<std::string, std::string>>{
           {R"("disableCheck":"maybe")", R"("disableCheck" is "maybe": expected true or false)"},
           {R"("disableCheck":"True","loadOnlyInlinedPlugins":false)", "loaded"},
           {R"("disableGC":1)", R"("disableGC" is 1: expected true or false)"},
           {R"("DisableGC":1)", "loaded"},
           {R"("cniVersions":"1.0.0")",
            R"("cniVersions" is "1.0.0": expected a list of versions such as "1.0.0")"},
           {R"("cniVersions":["x.y"])",
            R"("cniVersions" is ["x.y"]: expected a list of versions such as "1.0.0")"},
           {R"("cniVersions":["0.4.0","1.0.0"])", "loaded"}})
    CHECK(loading("x.conflist", list(R"("name":"n","cniVersion":"1.0.0",)" + keys, R"({"type":"bridge"})")) ==
          problem);
  for (const auto& [keys, problem] : std::vector<std::pair<std::string, std::string>>{
           {R"("capabilities":[])", R"("capabilities" is []: expected an object of true and false)"},
           {R"("capabilities":{"a":"b"})",
            R"("capabilities" is {"a":"b"}: expected an object of true and false)"},
           {R"("ipam":"x")", R"("ipam" is "x": expected an object)"},
           {R"("IPAM":{"Type":7})", R"("Type" is 7: expected a string, in "IPAM")"},
           {R"("dns":{"search":"x"})", R"("search" is "x": expected a list of strings, in "dns")"},
           {R"("dns":{"nameservers":["192.0.2.1"]},"ipam":null)", "loaded"},
           {R"("name":7)", R"("name" is 7: expected a string)"},
           {R"("prevResult":7)", R"("prevResult" is 7: expected an object)"},
           {R"("cni.dev/valid-attachments":[7])",
            R"("cni.dev/valid-attachments" is [7]: expected a list of objects)"},
           {R"("args":7,"runtimeConfig":7)", "loaded"}})
    CHECK(loading("x.conflist", list(R"("name":"n","cniVersion":"1.0.0")",
                                     R"({"type":"bridge",)" + keys + "}")) == problem);
}

TEST_CASE("plugins of the folder that has the list's name come behind its own") {
  const auto read = [](const std::string& text, std::vector<File> plugins) {
    return read_networks({{.name = "x.conflist", .text = text, .plugins = std::move(plugins)}}).front();
  };
  const auto types = [](const Network& network) {
    std::string all;
    for (const auto& plugin : network.plugins) all += plugin.value("type", std::string("?")) + " ";
    return all;
  };
  const std::string none = R"({"name":"n","cniVersion":"1.0.0"})";
  const File bridge{.name = "n/10.conf", .text = R"({"type":"bridge"})"};
  const File ours{.name = "n/20.conf", .text = R"({"type":"ip-masq"})"};
  auto network = read(flannel, {bridge, ours});
  CHECK(types(network) == "flannel portmap bridge ip-masq ");
  CHECK(network.is_loaded());
  CHECK(network.our_place() == 3);
  CHECK(!network.has_our_entry_inlined());
  CHECK(network.file_of(1) == "x.conflist");
  CHECK(network.file_of(3) == "n/20.conf");
  network = read(none, {ours, bridge});
  CHECK(types(network) == "ip-masq bridge ");
  CHECK(!network.is_single);
  CHECK(
      why_add_would_fail(network) ==
      std::vector<std::string>{
          "the entry of ip-masq comes before \"bridge\": it belongs behind it, which hands out the address"});
  CHECK(read(none, {}).reason.starts_with("it has no \"plugins\""));
  network = read(flannel, {{.name = "n/10.conf", .text = "{}"}});
  CHECK(network.loading == Loading::refused);
  CHECK(network.reason == "its plugin n/10.conf: a plugin in it has no \"type\"");
  network = read(flannel, {{.name = "n/10.conf", .trouble = "it is larger than 1 MiB"}});
  CHECK(network.loading == Loading::unknown);
  const auto folder = [](const std::string& keys) {
    return folder_of_plugins({.name = "x.conflist", .text = "{" + keys + "}"});
  };
  CHECK(folder(R"("name":"n")") == "n");
  CHECK(folder(R"("name":"n","loadOnlyInlinedPlugins":"false")") == "n");
  for (const auto* const keys : {"", R"("name":"..")", R"("name":"a/b")", R"("name":7)",
                                 R"("name":"n","loadOnlyInlinedPlugins":"TRUE")"})
    CHECK(folder(keys) == std::nullopt);
}

TEST_CASE("what is no UTF-8 is read as Go reads it, at the same places") {
  for (const auto& [text, read] : std::vector<std::pair<std::string, std::string>>{
           {"a\xff\xe2\x82z", "a???z"},
           {"\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80", "?????????"},
           {"\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9", "\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9"},
           {R"(\ud800\u0041\ud83d\ude00\udc00)", R"(\ufffd\u0041\ud83d\ude00\ufffd)"},
           {R"(\ud800\ud800\udc00)", R"(\ufffd\ud800\udc00)"},
           {R"(\\ud800\ud8)", R"(\\ud800\ud8)"},
           {"\\", "\\"},
           {"\\u", "\\u"}})
    CHECK(with_utf8_alone(text) == read);
}

TEST_CASE("what is beyond us is not refused, but not known") {
  const auto deep = of("x.conf", std::string(400000, '['));
  CHECK(deep.front().loading == Loading::unknown);
  const auto networks = read_networks({{.name = "b.conf", .trouble = "cannot read it: File too large"},
                                       {.name = "a.conflist", .is_folder = true},
                                       {.name = "README"},
                                       {.name = "c.conflist", .text = flannel}});
  REQUIRE(networks.size() == 3);
  CHECK(networks[0].loading == Loading::passed);
  CHECK(networks[1].loading == Loading::unknown);
  CHECK(first_loaded(networks) == &networks[2]);
  CHECK(in_the_way(networks, networks[2], {}) == std::vector{&networks[1]});
}

TEST_CASE("the order is that of the names, whatever their extension") {
  const auto networks = read_networks({{.name = "10-flannel.conflist", .text = flannel},
                                       {.name = "10-flannel.conf", .text = R"({"type":"flannel"})"},
                                       {.name = "05-other.json", .text = R"({"type":"bridge"})"}});
  CHECK(first_loaded(networks)->file.name == "05-other.json");
  CHECK(first_with(networks, "flannel")->file.name == "10-flannel.conf");
  CHECK(first_with(networks, "portmap")->file.name == "10-flannel.conflist");
  CHECK(first_with(networks, "ptp") == nullptr);
}

TEST_CASE("why an ADD would fail") {
  CHECK(failure(flannel).empty());
  const auto version = std::string("ip-masq speaks 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n");
  const std::string named = R"("name":"n")";
  const std::string good = R"("name":"n","cniVersion":"1.0.0")";
  CHECK(failure(list(named, R"({"type":"flannel"})")) == "it has no \"cniVersion\": " + version);
  CHECK(failure(list(named + R"(,"cniVersion":"0.2.0")", R"({"type":"flannel"})")) ==
        "\"cniVersion\" is \"0.2.0\": " + version);
  CHECK(
      failure(list(named + R"(,"cniVersions":["0.2.0","1.0.0","9.9.9"])", R"({"type":"flannel"})")).empty());
  CHECK(failure(list(R"("name":"-n","cniVersion":"1.0.0")", R"({"type":"flannel"})")) ==
        "\"name\" is \"-n\": expected a letter or digit, then letters, digits, '_', '.' or '-'\n");
  CHECK(failure(list(good, R"({"type":"ip-masq"},{"type":"flannel"})")) ==
        "the entry of ip-masq comes before \"flannel\": it belongs behind it, which hands out the address\n");
  CHECK(failure(list(good, R"({"type":"portmap"},{"type":"ip-masq"})")) ==
        "the entry of ip-masq comes before the plugin that makes the interface: it belongs behind it, which "
        "hands "
        "out the address\n");
  CHECK(failure(list(good, R"({"type":"flannel"},{"type":"ip-masq"},{"type":"portmap"})")).empty());
  CHECK(failure(list(good, R"({"type":"flannel"},{"type":"ip-masq","catchAll":"no"})")).find("catchAll") !=
        std::string::npos);
}

TEST_CASE("what containerd takes by max_conf_num") {
  const auto networks = read_networks({{.name = "10.conflist", .text = flannel},
                                       {.name = "20.conflist", .text = "{"},
                                       {.name = "30.conflist", .text = flannel},
                                       {.name = "40.conflist", .text = flannel},
                                       {.name = "50.conflist", .text = "{"}});
  const auto taken = [&networks](std::size_t most) {
    std::string names;
    for (const auto& each : networks)
      names += is_taken_as_well(networks, each, {.most = most}) ? each.file.name + " " : "";
    return names;
  };
  CHECK(taken(1).empty());
  CHECK(taken(2) == "30.conflist ");
  CHECK(taken(9) == "30.conflist 40.conflist ");
  CHECK(taken_of(networks, {.most = 1}) == std::vector{&networks[0]});
  CHECK(taken_of(networks, {.most = 2}) == std::vector{&networks[0], &networks[2]});
  const auto count = [&networks](std::size_t place, std::size_t most) {
    return in_the_way(networks, networks[place], {.most = most}).size();
  };
  CHECK(count(0, 1) == 0);
  CHECK(count(0, 2) == 1);
  CHECK(count(0, 3) == 1);
  CHECK(count(0, 4) == 2);
  CHECK(count(2, 1) == 1);
  CHECK(count(3, 9) == 2);
}

TEST_CASE("an older libcni does not read cniVersions") {
  const auto older = [](const std::string& versions) {
    return why_older_libcni_would_fail(
        of("x.conflist", list(R"("name":"n",)" + versions, R"({"type":"flannel"})")).front());
  };
  const std::string before =
      ", and \"cniVersions\" is read by libcni since 1.2: an older one (of containerd 1.7, CRI-O 1.29, "
      "podman "
      "4) calls plugins as version ";
  const std::string speaks = "; ip-masq speaks 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0";
  CHECK(older(R"("cniVersions":["0.4.0","1.1.0"])") ==
        "it has no \"cniVersion\"" + before + "0.1.0" + speaks);
  CHECK(older(R"("cniVersion":"0.2.0","cniVersions":["1.0.0"])") ==
        "\"cniVersion\" is \"0.2.0\"" + before + "0.2.0" + speaks);
  for (const std::string good :
       {R"("cniVersion":"0.3.1","cniVersions":["0.2.0","1.1.0"])", R"("cniVersion":"1.0.0")",
        R"("cniVersion":"0.2.0")", R"("cniVersions":["0.2.0"])"})
    CHECK(older(good).empty());
}

TEST_CASE("the files that flannel and we read its networks from") {
  const auto files = [](const std::string& flannels, const std::string& ours) {
    return subnet_files_of(of("x.conflist", list(R"("name":"n","cniVersion":"1.0.0")",
                                                 R"({"type":"flannel")" + flannels + "}" + ours))
                               .front());
  };
  CHECK_FALSE(files("", ""));
  CHECK_FALSE(subnet_files_of(of("x.conf", R"({"type":"ip-masq"})").front()));
  CHECK(files("", R"(,{"type":"ip-masq"})")->are_same());
  CHECK(files(R"(,"subnetFile":"")", R"(,{"type":"ip-masq"})")->are_same());
  CHECK(files(R"(,"SubnetFile":"/r//s.env")", R"(,{"type":"ip-masq","subnetFile":"/r/s.env"})")->are_same());
  const auto other = files(R"(,"subnetFile":"/r/s.env")", R"(,{"type":"ip-masq"})");
  CHECK_FALSE(other->are_same());
  CHECK(other->flannels == "/r/s.env");
  CHECK(other->ours == "/run/flannel/subnet.env");
  CHECK_FALSE(files("", R"(,{"type":"ip-masq","subnetFile":"/r/s.env"})")->are_same());
}

TEST_CASE("edits leave every other byte, and can be taken back") {
  for (const std::string text :
       {R"({"plugins":[{"type":"a", "x":1e3}]})", R"({"plugins":[1e3,12345678901234567890123]})",
        "{\"plugins\": [\n\t{ \"type\" : \"a\" },\n\t[ ]\n  ] , \"z\":\"]}\\\"\"}", "{\"plugins\":[ ]}",
        R"({"plugins":7,"":{},"plugins":[true , null]})"}) {
    CAPTURE(text);
    const auto before = locate(text);
    const auto added = with_last(text, *before.member("plugins"), R"({"b":2})");
    const auto after = locate(added);
    const auto& plugins = *after.member("plugins");
    CHECK(plugins.held.back().in(added) == R"({"b":2})");
    CHECK(without(added, plugins, plugins.held.size() - 1) == text);
  }
}

TEST_CASE("an edit goes by the form of what stands there") {
  const std::string text = "{\n  \"a\": {\n    \"b\": 1\n  },\n  \"c\": 1.50,\n  \"d\": \"\\u00e9\"\n}";
  const auto root = locate(text);
  CHECK(with_last(text, *root.member("a"), R"("ipMasq": false)") ==
        "{\n  \"a\": {\n    \"b\": 1,\n    \"ipMasq\": false\n  },\n  \"c\": 1.50,\n  \"d\": \"\\u00e9\"\n}");
  CHECK(root.member("c")->in(text) == "1.50");
  CHECK(root.member("d")->in(text) == "\"\\u00e9\"");
  CHECK(with_value(text, *root.member("c"), "null") ==
        "{\n  \"a\": {\n    \"b\": 1\n  },\n  \"c\": null,\n  \"d\": \"\\u00e9\"\n}");
  CHECK(without(text, root, 0) == "{\n  \"c\": 1.50,\n  \"d\": \"\\u00e9\"\n}");
}

}  // namespace ipmasq::conflist
