#include "cni/cache.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "cni/base64.hpp"
#include "temporary_folder.hpp"

namespace ipmasq::cni {

namespace {

constexpr auto alive = "/proc/self/ns/mnt";  // of nsfs, and not the network namespace that we are in

// What libcni writes of cbr0's attachments, with other keys where they are given.
std::string cached(const std::string& container, const std::string& more = "",
                   const std::string& netns = alive) {
  return R"({"kind":"cniCacheV1","containerId":")" + container +
         R"(","config":"eyJuYW1lIjoiY2JyMCJ9","ifName":"eth0","networkName":"cbr0",)" +
         (netns.empty() ? "" : R"("netns":")" + netns + R"(",)") +
         R"("cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","default"],["K8S_POD_NAME","web"],["X","a;b=c"]],)" +
         R"("result":{"ips":[{"address":"10.244.1.7/24"}],"interfaces":[{"name":"cni0"},{"name":"eth0","sandbox":")" +
         std::string(alive) + "\"}]}" + more + "}";
}

class Folder {
 public:
  std::filesystem::path put(const std::string& name, const std::string& text) const {
    const auto path = folder_.path() / name;
    std::ofstream(path) << text;
    return path;
  }
  Cache read(const CacheFilter& filter = {.networks = {"cbr0"}}) const {
    return read_cache(folder_.path(), filter);
  }
  // "cbr0/a/eth0 cbr0/b/eth0"
  std::string living(const CacheFilter& filter = {.networks = {"cbr0"}}) const {
    std::string text;
    for (const auto& each : read(filter).living) {
      text += (text.empty() ? "" : " ") + each.network + "/" + each.id.container_id + "/" + each.id.interface;
    }
    return text;
  }
  // The one problem, without the folder's name.
  std::string problem() const {
    const auto problems = read().problems;
    if (problems.size() != 1) return std::to_string(problems.size()) + " problems";
    const auto& line = problems.front();
    return line.substr(line.find(": ") + 2);
  }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  test::TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("base64 as Go writes it") {
  CHECK(decode_base64("") == "");
  CHECK(decode_base64("aQ==") == "i");
  CHECK(decode_base64("aXA=") == "ip");
  CHECK(decode_base64("aXAt") == "ip-");
  CHECK(decode_base64("/+8A") == std::string("\xff\xef\0", 3));
  for (const auto* const wrong : {"a", "aXA", "a===", "====", "aX\nA", "aXA-",
                                  "aQ=="
                                  "aQ=="}) {
    CHECK_MESSAGE(decode_base64(wrong) == std::nullopt, wrong);
  }
}

TEST_CASE("an attachment of the cache") {
  const Folder folder;
  folder.put("cbr0-a-eth0", cached("a"));
  const auto cache = folder.read();
  CHECK(cache.is_complete);
  CHECK(cache.problems.empty());
  REQUIRE(cache.living.size() == 1);
  const auto& found = cache.living.front();
  CHECK(found.network == "cbr0");
  CHECK(found.id == AttachmentId{"a", "eth0"});
  CHECK(found.args == "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web");
  CHECK(found.result.at("ips").at(0).at("address") == "10.244.1.7/24");
  CHECK(found.netns == alive);
  CHECK(found.list == Json{{"name", "cbr0"}});
  CHECK(found.capabilities.is_null());
  const auto given = R"({"io.kubernetes.cri.pod-annotations":{"ip-masq/policy":"partner"}})";
  folder.put("cbr0-a-eth0", cached("a", std::string(R"(,"capabilityArgs":)") + given));
  CHECK(to_text(folder.read().living.front().capabilities) == given);
}

TEST_CASE("a cache that is not there, and one that is empty") {
  const Folder folder;
  CHECK(folder.read().is_listed);
  CHECK(folder.read().is_complete);
  const auto missing = read_cache(folder.path() / "results", {});
  CHECK_FALSE(missing.is_listed);
  CHECK_FALSE(missing.is_complete);
  CHECK(missing.problems.empty());
}

TEST_CASE("a cache that cannot be listed is told") {
  const Folder folder;
  const auto cache = read_cache(folder.put("results", "a file"), {});
  CHECK_FALSE(cache.is_listed);
  CHECK(cache.problems.size() == 1);
}

TEST_CASE("which files are read") {
  const Folder folder;
  folder.put("cbr0-a-eth0", cached("a"));
  folder.put("cbr0-b-eth0", cached("b"));
  folder.put("cbr1-c-eth0", "{");
  folder.put("cbr0-x-d-eth0",
             R"({"kind":"cniCacheV1","containerId":"d","ifName":"eth0","networkName":"cbr0-x"})");
  CHECK(folder.living() == "cbr0/a/eth0 cbr0/b/eth0");
  CHECK(folder.living({.networks = {"cbr0"}, .known = {{"cbr0-a-eth0", "cbr0"}}}) == "cbr0/b/eth0");
  CHECK(folder.read().problems.empty());
  CHECK(folder.living({.networks = {}}).empty());
  const CacheFilter any{.networks = {}, .known = {}, .wants_list = [](const Json& list) {
                          return list.is_object() && list.value("name", "") == "cbr0";
                        }};
  CHECK(folder.living(any) == "cbr0/a/eth0 cbr0/b/eth0");
  CHECK(folder.read(any).problems.size() == 1);
}

TEST_CASE("of which networks it tells") {
  const Folder folder;
  CHECK(folder.read().told.empty());
  folder.put("cbr0-a-eth0", cached("a", "", folder.path() / "gone"));
  CHECK(folder.read().told.empty());
  CHECK(folder.read({.networks = {"cbr0"}, .known = {{"cbr0-a-eth0", "cbr0"}}}).told ==
        std::set<std::string>{"cbr0"});
  folder.put("cbr0-b-eth0", cached("b"));
  CHECK(folder.read().told == std::set<std::string>{"cbr0"});
}

TEST_CASE("who lives") {
  const Folder folder;
  const auto file = folder.put("plain", "").string();
  folder.put("cbr0-a-eth0", cached("a", "", file));
  folder.put("cbr0-b-eth0", cached("b", "", folder.path() / "gone"));
  folder.put("cbr0-c-eth0", cached("c", "", "/proc/self/ns/net"));
  folder.put("cbr0-d-eth0", cached("d", "", ""));  // by the result's sandbox
  CHECK(folder.living() == "cbr0/d/eth0");
  CHECK(folder.read().problems.empty());
  CHECK_FALSE(folder.read().is_complete);  // a's mount may be hidden from here
  std::filesystem::remove(folder.path() / "cbr0-a-eth0");
  folder.put("cbr0-f-eth0", cached("f", "", "/proc/4194305/ns/net"));  // no process has such a number
  CHECK(folder.read().is_complete);
  folder.put("cbr0-e-eth0", cached("e", "", "/nowhere/here/e"));
  CHECK(folder.problem() ==
        R"(whether its pod lives cannot be told: there is no folder "/nowhere/here" here)");
}

TEST_CASE("plain results of an older libcni") {
  const Folder folder;
  const std::string result =
      R"({"cniVersion":"0.4.0","ips":[{"address":"10.244.1.7/24"}],"interfaces":[{"name":)"
      R"("net-1","sandbox":")" +
      std::string(alive) + "\"}]}";
  folder.put("cbr0-a-b-net-1", result);
  CHECK(folder.living() == "cbr0/a-b/net-1");
  CHECK(folder.read().problems.empty());
  folder.put("cbr0-a-eth1", result);
  CHECK(folder.problem() == "it does not say which container it is of");
}

TEST_CASE("what is wrong is told") {
  const Folder folder;
  const auto whole = cached("a");
  const auto replaced = [&whole](const std::string& from, const std::string& to) {
    auto text = whole;
    return text.replace(text.find(from), from.size(), to);
  };
  for (const auto& [text, problem] : std::vector<std::pair<std::string, std::string>>{
           {"", "it is not JSON: it goes wrong at byte 1"},
           {"7", "it is no JSON object"},
           {R"({"kind":7})", "its kind is 7: expected cniCacheV1"},
           {replaced("\"a\"", "\"../a\""), "it does not name a network, a container and an interface"},
           {replaced("\"a\"", "7"), "it does not name a network, a container and an interface"},
           {replaced("\"a\"", "\"b\""), "it is of another attachment than its name says"},
           {replaced("\"result\"", "\"other\""), "it has no result"},
           {replaced("/proc/self", "proc/self"), "it does not say which network namespace is the pod's"},
           {std::string(300'000, '['), "it is nested deeper than 64 levels"}}) {
    folder.put("cbr0-a-eth0", text);
    CHECK(folder.problem() == problem);
    CHECK(folder.living().empty());
  }
}

TEST_CASE("files that somebody else can have a hand in") {
  const Folder folder;
  const auto path = folder.put("cbr0-a-eth0", cached("a"));
  ::chmod(path.c_str(), 0622);
  CHECK(folder.problem() == path.string() + " can be written to by others");
  std::filesystem::remove(path);
  std::filesystem::create_symlink(folder.put("elsewhere", cached("a")), path);
  CHECK(folder.problem() == "cannot open " + path.string() + ": Too many levels of symbolic links");
  std::filesystem::remove(path);
  ::mkfifo(path.c_str(), 0600);
  CHECK(folder.problem() == path.string() + " is no regular file");
}

TEST_CASE("of many problems some are told") {
  const Folder folder;
  for (int number = 0; number < 20; ++number) folder.put("cbr0-" + std::to_string(number) + "-eth0\n", "{");
  const auto problems = folder.read().problems;
  REQUIRE(problems.size() == 9);
  CHECK(problems.front().find("eth0\\n\": libcni gives a file no such name") != std::string::npos);
  CHECK(problems.back() == "and 12 more");
}

}  // namespace ipmasq::cni
