#include "state/store.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <thread>

#include "error/error.hpp"
#include "os/file.hpp"
#include "temporary_folder.hpp"
#include "texts.hpp"

namespace ipmasq::state {

namespace {

namespace fs = std::filesystem;

Attachment attachment(const std::string& container_id, const std::string& address) {
  const auto parsed = test::interface_address(address);
  return {.id = {container_id, "eth0"},
          .addresses = {parsed},
          .pod_subnets = {parsed.network()},
          .pod = "default/web"};
}

fs::perms mode(const fs::path& path) {
  return fs::status(path).permissions();
}

// Every path below a folder, a line each.
std::string tree(const fs::path& folder) {
  std::set<std::string> paths;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    paths.insert(fs::relative(entry.path(), folder).string() + (entry.is_directory() ? "/" : ""));
  }
  std::string text;
  for (const auto& path : paths) text += path + "\n";
  return text;
}

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

Store::Question is_not(const std::string& container) {
  return [container](const cni::AttachmentId& id) { return id.container_id != container; };
}

}  // namespace

TEST_CASE("what is saved is loaded, in files that only root reads") {
  const test::TemporaryFolder folder;
  const Store store(folder.path() / "deep" / "state");
  CHECK_FALSE(store.exists());
  const auto lock = store.lock_exclusive(std::chrono::seconds(1));
  const NetworkRecord record{
      .made_of = {cni::Json{{"catchAll", false}},
                  config::AgentFile{
                      .path = "/etc/config/x", .keys = {{"cidrLimit", 7}}, .places = {}, .warnings = {}},
                  {test::prefix("10.244.0.0/16")}},
      .placement = {config::Backend::iptables, config::Backend::nftables},
      .unrecorded = {test::prefix("10.9.0.0/16")}};
  store.save("cbr0", record);
  store.save("cbr0", attachment("a", "10.244.1.5/24"));
  store.save("cbr0", attachment("b", "10.244.1.6/24"));
  store.save("cbr0", attachment("b", "10.244.2.6/24"));
  store.save("cbr0", attachment("c", "10.1.2.3/32"));

  CHECK(store.networks() == std::vector<std::string>{"cbr0"});
  CHECK(store.record("cbr0") == record);
  const auto network = store.load("cbr0");
  CHECK(network.record == record);
  CHECK(network.attachments == std::vector{attachment("a", "10.244.1.5/24"), attachment("b", "10.244.2.6/24"),
                                           attachment("c", "10.1.2.3/32")});
  CHECK(network.damaged.empty());
  CHECK(network.is_complete);
  CHECK(network.wanted_subnets() == std::set{test::prefix("10.1.2.3/32"), test::prefix("10.9.0.0/16"),
                                             test::prefix("10.244.1.0/24"), test::prefix("10.244.2.0/24")});
  CHECK(store.subnets("cbr0") == std::set{test::prefix("10.244.1.0/24"), test::prefix("10.244.2.0/24")});
  CHECK(store.hosts("cbr0") == std::set{test::prefix("10.1.2.3/32")});
  CHECK(store.is_used("cbr0", test::prefix("10.244.1.0/24"), is_not("b")));
  CHECK_FALSE(store.is_used("cbr0", test::prefix("10.244.1.0/24"), is_not("a")));

  const auto state = folder.path() / "deep" / "state";
  CHECK(mode(state) == fs::perms::owner_all);
  for (const auto* const inside :
       {"cbr0", "cbr0/pods", "cbr0/subnets", "cbr0/subnets/10.244.1.0_24", "cbr0/hosts"})
    CHECK(mode(state / inside) == fs::perms::owner_all);
  CHECK(mode(state / "cbr0/pods/a:eth0") == (fs::perms::owner_read | fs::perms::owner_write));
  CHECK(tree(state) == R"(cbr0/
cbr0/hosts/
cbr0/hosts/10.1.2.3_32/
cbr0/hosts/10.1.2.3_32/c:eth0
cbr0/network.json
cbr0/pods/
cbr0/pods/a:eth0
cbr0/pods/b:eth0
cbr0/pods/c:eth0
cbr0/subnets/
cbr0/subnets/10.244.1.0_24/
cbr0/subnets/10.244.1.0_24/a:eth0
cbr0/subnets/10.244.2.0_24/
cbr0/subnets/10.244.2.0_24/b:eth0
lock
)");
}

TEST_CASE("a damaged attachment is named with the reason, and its pod subnet is known by the marker") {
  const test::TemporaryFolder folder;
  const Store store(folder.path());
  const auto pods = folder.path() / "n/pods";
  for (const auto* const container : {"a", "cut", "gone", "other"})
    store.save("n", attachment(container, "10.244.1.5/24"));
  write(pods / "cut:eth0", "{\"containerID\":\"x\"");
  fs::copy_file(pods / "a:eth0", pods / "other:eth0", fs::copy_options::overwrite_existing);
  fs::remove(pods / "gone:eth0");
  write(pods / ".new-1", "cut short");
  write(folder.path() / "n/network.json~", "somebody's");
  write(pods / "stray", "somebody's");

  auto network = store.load("n");
  CHECK(network.attachments == std::vector{attachment("a", "10.244.1.5/24")});
  CHECK(network.damaged_ids ==
        std::vector<cni::AttachmentId>{{"cut", "eth0"}, {"other", "eth0"}, {"gone", "eth0"}});
  CHECK(network.damaged.at(1).reason == "it is the record of another attachment");
  CHECK(network.strays == std::vector{folder.path() / "n/network.json~", pods / "stray"});
  CHECK(network.is_complete);
  CHECK(network.pod_subnets == std::set{test::prefix("10.244.1.0/24")});

  write(pods / "unmarked:eth0", "");
  CHECK_FALSE(store.load("n").is_complete);
}

TEST_CASE("markers that are lost are told, and made again") {
  const test::TemporaryFolder folder;
  const Store store(folder.path());
  for (const auto* const container : {"a", "b"}) store.save("n", attachment(container, "10.244.1.5/24"));
  const auto before = tree(folder.path());
  CHECK_FALSE(store.load("n").lacks_markers);
  fs::remove(folder.path() / "n/subnets/10.244.1.0_24/b:eth0");
  CHECK(store.load("n").lacks_markers);
  store.restore_markers("n");
  CHECK(tree(folder.path()) == before);
  fs::remove_all(folder.path() / "n/subnets");
  store.restore_markers("n");
  CHECK(tree(folder.path()) == before);
  CHECK(mode(folder.path() / "n/subnets") == fs::perms::owner_all);
}

TEST_CASE("a network that is forgotten leaves nothing behind but what is somebody else's") {
  const test::TemporaryFolder folder;
  const Store store(folder.path());
  store.save("n", NetworkRecord{.made_of = {cni::Json::object()}, .placement = {}});
  store.save("n", attachment("a", "10.244.1.5/24"));
  write(folder.path() / "n/.new-1", "cut short");
  write(folder.path() / "n/pods/.new-2", "cut short");
  CHECK(store.has_pods("n"));
  store.forget("n", {"a", "eth0"});
  store.forget("n", {"a", "eth0"});
  store.forget_network("n");
  store.forget_network("n");
  CHECK(tree(folder.path()).empty());

  store.save("n", attachment("a", "10.244.1.5/24"));
  write(folder.path() / "n/theirs", "");
  store.forget("n", {"a", "eth0"});
  store.forget_network("n");
  CHECK(tree(folder.path()) == "n/\nn/theirs\n");
  CHECK(store.networks().empty());
}

TEST_CASE("a record has the earliest format that says all of it, so that earlier versions go on with it") {
  NetworkRecord record{.made_of = {cni::Json::object(), {}, {}},
                       .placement = {config::Backend::nftables, {}}};
  CHECK(to_text(record).starts_with(R"({"format":2,)"));
  CHECK(parse_network_record(to_text(record)) == record);
  // Connections that do not follow a change are no reason to refuse the record.
  record.changed_from = config::MadeOf{
      cni::Json{{"catchAll", false}}, config::AgentFile{.path = "/f", .keys = {{"toPorts", "1-2"}}}, {}};
  CHECK(to_text(record).starts_with(R"({"format":2,)"));
  CHECK(parse_network_record(to_text(record)) == record);
  record.shared_subnets = {test::prefix("10.244.1.0/24")};
  CHECK(to_text(record).starts_with(R"({"format":3,)"));
  CHECK(parse_network_record(to_text(record)) == record);
  record.made_of.netconf["policies"] = cni::Json::array();
  CHECK(to_text(record).starts_with(R"({"format":3,)"));
  record.made_of.file = config::AgentFile{.path = "F", .keys = cni::Json::parse(R"({"policies": [{}]})")};
  CHECK(to_text(record).starts_with(R"({"format":4,)"));
  CHECK(parse_network_record(to_text(record)) == record);
}

TEST_CASE("a network whose folder is moved while it is read is there as a whole, or not at all") {
  const test::TemporaryFolder folder;
  const Store store(folder.path() / "state");
  const auto lock = store.lock_exclusive(std::chrono::seconds(1));
  store.save("cbr0", NetworkRecord{.made_of = {cni::Json{{"catchAll", false}}, {}, {}},
                                   .placement = {.on = config::Backend::nftables}});
  for (int pod = 2; pod < 30; ++pod) {
    const auto number = std::to_string(pod);
    store.save("cbr0", attachment("pod-" + number, "10.244.1." + number + "/24"));
  }
  const auto whole = store.load("cbr0");
  CHECK(whole.record.has_value());
  CHECK(whole.attachments.size() == 28);
  const auto here = folder.path() / "state" / "cbr0";
  const auto elsewhere = folder.path() / "elsewhere";
  constexpr int times = 300;
  for (int time = 0; time < times; ++time) {
    std::thread mover([&] { fs::rename(here, elsewhere); });
    const auto loaded = store.load();
    mover.join();
    fs::rename(elsewhere, here);
    if (loaded.empty()) continue;
    CHECK(loaded.at("cbr0").record == whole.record);
    CHECK(loaded.at("cbr0").attachments == whole.attachments);
  }
}

TEST_CASE("a network's record that is damaged is told apart from one that is not there") {
  const test::TemporaryFolder folder;
  const Store store(folder.path());
  const auto path = folder.path() / "n/network.json";
  CHECK_FALSE(store.record("n"));
  for (const auto* const text :
       {"", "{\"catch", "[]", "{}", R"({"netconf": [], "backend": "iptables"})",
        R"({"netconf": {}, "backend": 7})", R"({"netconf": {}})", R"({"netconf": {}, "backend": "ebpf"})",
        R"({"format": "x", "netconf": {}})", R"({"format": 2.9, "netconf": {}, "backend": "iptables"})",
        R"({"netconf": {}, "backend": "iptables", "clusterNetworks": ["x"]})",
        R"({"netconf": {}, "backend": "iptables", "file": []})"}) {
    CAPTURE(text);
    write(path, text);
    CHECK(test::error_of([&] { store.record("n"); }).starts_with("6: " + path.string() + " is damaged: "));
    CHECK_FALSE(store.load("n").record);
    CHECK(store.load("n").damaged.front().path == path);
    CHECK_FALSE(store.load("n").damaged.front().is_of_later_version);
  }
  write(path, R"({"format": 5, "netconf": {}, "backend": "iptables"})");
  CHECK(test::error_of([&] { store.record("n"); }) ==
        "7: " + path.string() + ": it has format 5, of a later ip-masq: this one knows 4");
  CHECK(store.load("n").damaged.front().is_of_later_version);
}

TEST_CASE("what version 0.1.0 recorded is read, and carried over") {
  const test::TemporaryFolder folder;
  const Store store(folder.path());
  write(folder.path() / "cbr0/network.json",
        R"({"netconf":{"catchAll":false},"backend":"nftables","leaving":"iptables"})");
  write(
      folder.path() / "cbr0/pod-1:eth0",
      R"({"containerID":"pod-1","ifname":"eth0","addresses":["10.244.1.5/24"],"podSubnets":["10.244.1.0/24"],"pod":"a/b"})");
  const auto before = store.load("cbr0");
  REQUIRE(before.record);
  CHECK(before.record->is_carried_over);
  CHECK(before.record->placement == Placement{config::Backend::nftables, config::Backend::iptables});
  CHECK(before.attachments.size() == 1);
  CHECK(before.pod_subnets == std::set{test::prefix("10.244.1.0/24")});

  store.put_in_order("cbr0");
  store.put_in_order("cbr0");
  CHECK(tree(folder.path()) == R"(cbr0/
cbr0/network.json
cbr0/pods/
cbr0/pods/pod-1:eth0
cbr0/subnets/
cbr0/subnets/10.244.1.0_24/
cbr0/subnets/10.244.1.0_24/pod-1:eth0
)");
  CHECK(store.load("cbr0").attachments == before.attachments);
}

TEST_CASE("a state folder that somebody else can have a hand in is not believed") {
  const test::TemporaryFolder folder;
  const auto state = folder.path() / "state";
  const Store store(state);
  fs::create_directory(state);
  CHECK(store.exists());
  const auto said = [&] { return test::error_of([&] { store.load(); }); };
  const auto advice = [&]() -> std::string {
    try {
      store.exists();
      return "";
    } catch (const Error& error) {
      return error.details();
    }
  };
  fs::permissions(state, fs::perms::owner_all | fs::perms::group_write);
  CHECK(said() == "5: stateDir " + state.string() + " can be written to by others");
  CHECK(advice() == "nothing in it can be believed: look whether all in it is your own; then chmod go-w " +
                        state.string());
  fs::permissions(state, fs::perms::owner_all | fs::perms::others_write);
  CHECK(said() == "5: stateDir " + state.string() + " can be written to by others");
  fs::permissions(state, fs::perms::owner_all | fs::perms::group_read | fs::perms::others_read);
  CHECK(said().empty());
  CHECK(mode(state) == (fs::perms::owner_all | fs::perms::group_read | fs::perms::others_read));
  if (::geteuid() == 0) {
    REQUIRE(::chown(state.c_str(), 12345, 12345) == 0);
    CHECK(said() == "5: stateDir " + state.string() + " belongs to somebody else");
  }
  fs::remove(state);
  fs::create_directory_symlink(folder.path(), state);
  CHECK(said() == "5: stateDir " + state.string() + " is a link");
  CHECK(advice() == "nothing in it can be believed: move it aside, or name another stateDir");
  CHECK(test::error_of([&] { store.lock_exclusive(std::chrono::seconds(0)); }) ==
        "5: stateDir " + state.string() + " is a link");
}

TEST_CASE("nothing is written in a folder that somebody else keeps things in") {
  const test::TemporaryFolder folder;
  const Store store(folder.path());
  const auto said = [&] { return test::error_of([&] { store.lock_shared(std::chrono::seconds(0)); }); };
  CHECK(store.exists());
  std::ofstream(folder.path() / ".keep") << "theirs";
  fs::create_directories(folder.path() / "lost+found");
  fs::create_directories(folder.path() / "cbr0");  // where a call was killed, and the lock was lost
  CHECK(store.exists());
  fs::remove_all(folder.path() / "cbr0");
  std::ofstream(folder.path() / "passwd") << "theirs";
  fs::create_directories(folder.path() / "lock");  // as in /run and /var
  const auto refused =
      "5: stateDir " + folder.path().string() + " is not ip-masq's: it holds \"lock\", and nothing of ours";
  CHECK(!store.exists());
  CHECK(said() == refused);
  CHECK(test::error_of([&] { store.lock_exclusive(std::chrono::seconds(0)); }) == refused);
  CHECK(test::error_of([&] { store.lock_agent(); }) == refused);
  CHECK(test::error_of([&] { store.check_writable(); }) == refused);
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 4);
  fs::remove_all(folder.path() / "lock");
  fs::create_directories(folder.path() / "cbr0" / "pods");  // a lock that was lost
  CHECK(store.exists());
  CHECK(said().empty());
}

TEST_CASE("a folder that cannot be made is an error, not a try without end") {
  CHECK(test::error_of([] { os::make_folder("/proc/x/y", 0700); }) ==
        "5: cannot make the folder /proc/x/y: No such file or directory");
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
  CHECK(test::error_of([] { os::read_file("/dev/zero"); }) == "6: cannot read /dev/zero: File too large");
}

}  // namespace ipmasq::state
