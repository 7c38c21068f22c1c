#include "state/store.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "os/file.hpp"
#include "temporary_folder.hpp"
#include "texts.hpp"

namespace ipmasq::state {

namespace {

Attachment attachment(const std::string& container_id, const std::string& address) {
  const auto parsed = test::interface_address(address);
  return {.id = {container_id, "eth0"},
          .addresses = {parsed},
          .pod_subnets = {parsed.network()},
          .pod = "default/web"};
}

std::filesystem::perms mode(const std::filesystem::path& path) {
  return std::filesystem::status(path).permissions();
}

}  // namespace

TEST_CASE("what is saved is loaded, in files that only root reads") {
  const test::TemporaryFolder folder;
  const Store store(folder.path() / "deep" / "state");
  CHECK_FALSE(store.exists());
  const auto lock = store.lock_exclusive(std::chrono::seconds(1));
  const NetworkRecord record{cni::Json{{"catchAll", false}}, "iptables", "nftables"};
  store.save("cbr0", record);
  store.save("cbr0", attachment("a", "10.244.1.5/24"));
  store.save("cbr0", attachment("b", "10.244.1.6/24"));
  store.save("cbr0", attachment("b", "10.244.2.6/24"));

  const auto networks = store.load();
  REQUIRE(networks.size() == 1);
  const auto& network = networks.at("cbr0");
  CHECK(network.record == record);
  CHECK(network.attachments ==
        std::vector{attachment("a", "10.244.1.5/24"), attachment("b", "10.244.2.6/24")});
  CHECK(network.broken.empty());
  CHECK(network.is_used(test::prefix("10.244.1.0/24"), {"b", "eth0"}));
  CHECK_FALSE(network.is_used(test::prefix("10.244.1.0/24"), {"a", "eth0"}));

  using std::filesystem::perms;
  const auto state = folder.path() / "deep" / "state";
  CHECK(mode(state) == perms::owner_all);
  CHECK(mode(state / "cbr0") == perms::owner_all);
  CHECK(mode(state / "cbr0" / "a:eth0") == (perms::owner_read | perms::owner_write));
}

TEST_CASE("a file that holds no attachment is one of unknown subnet, named with the reason") {
  const test::TemporaryFolder folder;
  const Store store(folder.path());
  store.save("n", attachment("a", "10.244.1.5/24"));
  for (const auto* const name : {"cut:eth0", "other:eth0", "stray"})
    std::ofstream(folder.path() / "n" / name) << "{\"containerID\":\"x\"";
  std::filesystem::copy(folder.path() / "n" / "a:eth0", folder.path() / "n" / "copy:eth0");
  std::filesystem::create_directory(folder.path() / "n" / "folder:eth0");
  std::ofstream(folder.path() / "n" / ".new-1") << "cut short";

  auto network = store.load("n");
  CHECK(network.attachments.size() == 1);
  std::vector<cni::AttachmentId> broken;
  for (const auto& each : network.broken) broken.push_back(each.id);
  CHECK(broken ==
        std::vector<cni::AttachmentId>{
            {"copy", "eth0"}, {"cut", "eth0"}, {"folder", "eth0"}, {"other", "eth0"}, {"stray", ""}});
  CHECK(network.broken.front().reason == "it is the record of another attachment");
  CHECK(network.remove({"cut", "eth0"}));
  CHECK_FALSE(network.remove({"cut", "eth0"}));
}

TEST_CASE("a network that is forgotten leaves nothing behind") {
  const test::TemporaryFolder folder;
  const Store store(folder.path());
  store.save("n", NetworkRecord{cni::Json::object(), "iptables"});
  store.save("n", attachment("a", "10.244.1.5/24"));
  std::ofstream(folder.path() / "n" / ".new-1") << "cut short";
  store.forget("n", {"a", "eth0"});
  store.forget("n", {"a", "eth0"});
  store.forget_network("n");
  store.forget_network("n");
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a network's record that is not there or damaged is none") {
  const test::TemporaryFolder folder;
  const Store store(folder.path());
  store.save("n", attachment("a", "10.244.1.5/24"));
  CHECK_FALSE(store.load("n").record);
  for (const auto* const text : {"{\"catch", "[]", "{}", R"({"netconf": [], "backend": "iptables"})",
                                 R"({"netconf": {}, "backend": 7})", R"({"netconf": {}})"}) {
    CAPTURE(text);
    std::ofstream(folder.path() / "n" / "network.json") << text;
    CHECK_FALSE(store.load("n").record);
  }
}

TEST_CASE("a lock that is held is waited for, and given up") {
  const test::TemporaryFolder folder;
  const Store store(folder.path());
  const auto shared = store.lock_shared(std::chrono::seconds(0));
  const auto second = store.lock_shared(std::chrono::seconds(0));
  CHECK(test::error_of([&store] { store.lock_exclusive(std::chrono::milliseconds(50)); }) ==
        "11: the lock " + (folder.path() / "lock").string() + " is still held by another process");
}

TEST_CASE("a file too large to be ours is an error, not a read without end") {
  CHECK(test::error_of([] { os::read_file("/dev/zero"); }) == "5: cannot read /dev/zero: File too large");
}

}  // namespace ipmasq::state
