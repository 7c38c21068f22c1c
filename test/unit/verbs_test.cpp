#include "plugin/verbs/verbs.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "error/error.hpp"
#include "memory_backend.hpp"
#include "state/store.hpp"
#include "temporary_folder.hpp"
#include "texts.hpp"

namespace ipmasq::plugin {

namespace {

const Error refused(Kind::refused, "the kernel says no");

// A node with nothing on it, and calls as a runtime makes them.
class Runtime {
 public:
  std::string add(const std::string& container, const std::string& address,
                  const std::string& network = "cbr0", const std::string& keys = "") {
    return test::error_of([&] {
      std::ostringstream output;
      plugin::add(request(cni::Command::add, container, network, address, keys), kernel, output);
    });
  }
  std::string del(const std::string& container, const std::string& network = "cbr0") {
    return test::error_of(
        [&] { plugin::del(request(cni::Command::del, container, network, "", ""), kernel); });
  }
  std::string gc(const std::string& valid, const std::string& network = "cbr0") {
    const auto keys = R"(,"cni.dev/valid-attachments":)" + valid;
    return test::error_of([&] { plugin::gc(request(cni::Command::gc, "", network, "", keys), kernel); });
  }

  // "cbr0: a b; other: c", and the pod subnets in the kernel.
  std::string recorded() const {
    std::string text;
    for (const auto& [name, network] : state::Store(folder.path()).load()) {
      text += (text.empty() ? "" : "; ") + name + ":";
      for (const auto& attachment : network.attachments) text += " " + attachment.id.container_id;
      if (!network.broken.empty()) text += " (damaged)";
    }
    return text;
  }
  std::string in_kernel() {
    std::string text;
    for (const auto& subnet : kernel.rules().pod_subnets) text += net::to_text(subnet.prefix) + " ";
    return text;
  }

  test::TemporaryFolder folder;
  test::MemoryKernel kernel;

 private:
  cni::Request request(cni::Command command, const std::string& container, const std::string& network,
                       const std::string& address, const std::string& keys) const {
    cni::Environment environment{command, container, "/netns", "eth0", ""};
    std::istringstream input(
        R"({"cniVersion":"1.1.0","name":")" + network + R"(","configFile":"/nonexistent","stateDir":")" +
        folder.path().string() + "\"" + keys +
        (address.empty() ? "" : R"(,"prevResult":{"ips":[{"address":")" + address + "\"}]}") + "}");
    return cni::make_request(environment, cni::read_netconf(input));
  }
};

}  // namespace

TEST_CASE("an ADD that the kernel refuses leaves no trace") {
  Runtime runtime;
  runtime.kernel.refuses = refused;
  CHECK(runtime.add("a", "10.1.1.5/24") == "101: the kernel says no");
  CHECK(runtime.recorded().empty());
  CHECK(runtime.in_kernel().empty());
}

TEST_CASE("an ADD that fails after one family was committed is taken back") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  runtime.kernel.refuses = refused;
  runtime.kernel.half_done = true;
  CHECK(runtime.add("b", "10.1.2.5/24") == "101: the kernel says no");
  CHECK(runtime.recorded() == "cbr0: a");
  CHECK(runtime.in_kernel() == "10.1.1.0/24 ");
}

TEST_CASE("an ADD that fails puts the network's earlier configuration and attachment back") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  const auto before = state::Store(runtime.folder.path()).load("cbr0");
  runtime.kernel.refuses = refused;
  CHECK(runtime.add("a", "10.1.2.5/24", "cbr0", R"(,"catchAll":false)") == "101: the kernel says no");
  const auto after = state::Store(runtime.folder.path()).load("cbr0");
  CHECK(after.record == before.record);
  CHECK(after.attachments == before.attachments);
}

TEST_CASE("the second pod of a subnet reads once and commits nothing") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  runtime.kernel.reads = runtime.kernel.commits = 0;
  CHECK(runtime.add("b", "10.1.1.6/24").empty());
  CHECK(runtime.kernel.reads == 1);
  CHECK(runtime.kernel.commits == 0);
  CHECK(runtime.recorded() == "cbr0: a b");
}

TEST_CASE("a DEL looks at the kernel only for the last pod of a subnet") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  CHECK(runtime.add("b", "10.1.1.6/24").empty());
  runtime.kernel.reads = 0;
  CHECK(runtime.del("a").empty());
  CHECK(runtime.del("unknown").empty());
  CHECK(runtime.kernel.reads == 0);
  CHECK(runtime.del("b").empty());
  CHECK(runtime.in_kernel().empty());
  CHECK(runtime.recorded().empty());
}

TEST_CASE("a DEL that cannot take the rules along keeps the record, so that it can be repeated") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  runtime.kernel.refuses = refused;
  CHECK(runtime.del("a") == "101: the kernel says no");
  CHECK(runtime.recorded() == "cbr0: a");
  runtime.kernel.refuses.reset();
  CHECK(runtime.del("a").empty());
  CHECK(runtime.recorded().empty());
}

TEST_CASE("an ADD of the same container with another subnet moves its rules") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  CHECK(runtime.add("a", "10.1.2.5/24").empty());
  CHECK(runtime.in_kernel() == "10.1.2.0/24 ");
  CHECK(runtime.recorded() == "cbr0: a");
}

TEST_CASE("GC forgets what is not valid, of its own network only") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  CHECK(runtime.add("b", "10.1.2.5/24").empty());
  CHECK(runtime.add("c", "10.3.1.5/24", "other").empty());
  CHECK(runtime.gc(R"([{"containerID":"b","ifname":"eth0"}])").empty());
  CHECK(runtime.recorded() == "cbr0: b; other: c");
  CHECK(runtime.in_kernel() == "10.1.2.0/24 10.3.1.0/24 ");
  CHECK(runtime.gc("[]").empty());
  CHECK(runtime.recorded() == "other: c");
}

TEST_CASE("GC goes on after an error and reports all of them") {
  Runtime runtime;
  for (const auto* const container : {"a", "b", "c"}) CHECK(runtime.add(container, "10.1.1.5/24").empty());
  for (const auto* const container : {"a", "b"}) {  // a folder cannot be unlinked
    const auto path = runtime.folder.path() / "cbr0" / (std::string(container) + ":eth0");
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
  }
  runtime.kernel.refuses = refused;
  const auto folder = (runtime.folder.path() / "cbr0").string();
  CHECK(runtime.gc("[]") == "101: the kernel says no; cannot remove " + folder +
                                "/a:eth0: Is a directory; cannot remove " + folder +
                                "/b:eth0: Is a directory");
  CHECK(runtime.recorded() == "cbr0: (damaged)");
}

TEST_CASE("GC keeps the rules of a network with a valid attachment that is not recorded") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  const auto valid = R"([{"containerID":"lost","ifname":"eth0"}])";
  runtime.kernel.rules().known_networks.clear();
  CHECK(runtime.gc(valid).empty());
  CHECK_FALSE(runtime.kernel.rules().known_networks.contains("cbr0"));
}

TEST_CASE("a network cannot have the name of the lock") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24", "lock") ==
        "7: name is \"lock\": expected another, this one is a file of ip-masq's own");
  CHECK(runtime.del("a", "lock").empty());
}

}  // namespace ipmasq::plugin
