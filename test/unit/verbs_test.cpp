#include "plugin/verbs/verbs.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "error/error.hpp"
#include "memory_backend.hpp"
#include "plugin/agent/sync_pass.hpp"
#include "state/store.hpp"
#include "temporary_folder.hpp"
#include "texts.hpp"

namespace ipmasq::plugin {

namespace {

using config::Backend;

const Error refused(Kind::refused, "the kernel says no");
const Error held(Kind::busy, "the lock is held");

// A node with nothing on it, and calls as a runtime makes them. Each returns its error, empty for none.
class Runtime {
 public:
  std::string add(const std::string& container, const std::string& address,
                  const std::string& network = "cbr0", const std::string& keys = "") {
    return test::error_of([&] {
      std::ostringstream output;
      std::ostringstream told;
      plugin::add(request(cni::Command::add, container, network, address, keys), kernel, output, told);
      warnings = told.str();
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
  std::string check(const std::string& container, const std::string& address,
                    const std::string& network = "cbr0") {
    return test::error_of([&] {
      std::ostringstream told;
      plugin::check(request(cni::Command::check, container, network, address, ""), kernel, told);
      warnings = told.str();
    });
  }

  // "cbr0 on iptables: a b; other on nftables: c"
  std::string recorded() const {
    std::string text;
    for (const auto& [name, network] : state::Store(folder.path()).load()) {
      text += (text.empty() ? "" : "; ") + name;
      if (network.record) {
        const auto& placement = network.record->placement;
        text += " on " + config::to_text(placement.on);
        if (placement.leaving) text += " leaving " + config::to_text(*placement.leaving);
      }
      text += ":";
      for (const auto& attachment : network.attachments) text += " " + attachment.id.container_id;
      if (!network.damaged.empty()) text += " (damaged)";
      if (!network.unread.empty()) text += " (unread)";
      if (network.record) {
        for (const auto& subnet : network.record->unrecorded) text += " +" + net::to_text(subnet);
      }
    }
    return text;
  }
  std::string in(Backend backend) {
    std::string text;
    for (const auto& source : kernel.tables[backend].sources) text += net::to_text(source.prefix) + " ";
    return text;
  }
  std::string in_kernel() { return in(kernel.prefers); }
  // "10.244.1.5 cbr0, 10.244.1.0 cbr0": in the order in which they are asked.
  std::string leading() {
    std::string text;
    for (const auto& source : kernel.open(kernel.prefers, {})->sources())
      text += (text.empty() ? "" : ", ") + net::to_text(source.prefix.address) + " " + source.network;
    return text;
  }

  test::TemporaryFolder folder;
  test::MemoryKernel kernel;
  std::string warnings;

 private:
  cni::Request request(cni::Command command, const std::string& container, const std::string& network,
                       const std::string& address, const std::string& keys) const {
    cni::Environment environment{command, container, "/netns", "eth0", ""};
    std::istringstream input(
        R"({"cniVersion":"1.1.0","name":")" + network + R"(","configFile":")" +
        (folder.path() / ".config").string() + R"(","subnetFile":"/nonexistent","stateDir":")" +
        folder.path().string() + "\"" + keys +
        (address.empty() ? "" : R"(,"prevResult":{"ips":[{"address":")" + address + "\"}]}") + "}");
    return cni::make_request(environment, cni::read_netconf(input));
  }
};

}  // namespace

TEST_CASE("an ADD that the kernel refuses leaves no trace") {
  Runtime runtime;
  runtime.kernel.refuses.emplace(Backend::iptables, refused);
  CHECK(runtime.add("a", "10.1.1.5/24") == "101: the kernel says no");
  CHECK(runtime.recorded().empty());
  CHECK(runtime.in_kernel().empty());
}

TEST_CASE("an ADD that an exception of somebody else's cuts short leaves no trace either") {
  Runtime runtime;
  runtime.kernel.throws_bad_alloc = true;
  CHECK(runtime.add("a", "10.1.1.5/24") == "5: out of memory");
  CHECK(runtime.recorded().empty());
  runtime.kernel.throws_bad_alloc = false;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  runtime.kernel.throws_bad_alloc = true;
  CHECK(runtime.add("b", "10.1.2.5/24") == "5: out of memory");
  CHECK(runtime.recorded() == "cbr0 on iptables: a");
}

TEST_CASE("an ADD that fails puts the network's earlier configuration and attachment back") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  const auto before = state::Store(runtime.folder.path()).load("cbr0");
  runtime.kernel.refuses.emplace(Backend::iptables, refused);
  CHECK(runtime.add("a", "10.1.2.5/24", "cbr0", R"(,"catchAll":false)") == "101: the kernel says no");
  const auto after = state::Store(runtime.folder.path()).load("cbr0");
  CHECK(after.record == before.record);
  CHECK(after.attachments == before.attachments);
  CHECK(after.pod_subnets == before.pod_subnets);
}

TEST_CASE("a move whose old rules cannot be taken away is taken back, and made later") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  runtime.kernel.prefers = Backend::nftables;
  runtime.kernel.refuses.emplace(Backend::iptables, held);
  CHECK(runtime.add("b", "10.1.1.6/24") == "11: the lock is held");
  CHECK(runtime.recorded() == "cbr0 on iptables: a");
  CHECK(runtime.in(Backend::nftables).empty());
  CHECK(runtime.in(Backend::iptables) == "10.1.1.0/24 ");

  runtime.kernel.refuses.clear();
  CHECK(runtime.add("b", "10.1.1.6/24").empty());
  CHECK(runtime.recorded() == "cbr0 on nftables: a b");
  CHECK(runtime.in(Backend::nftables) == "10.1.1.0/24 ");
  CHECK(runtime.in(Backend::iptables).empty());
}

TEST_CASE("what cannot be taken back stays recorded, is told, and the next call mends it") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  runtime.kernel.prefers = Backend::nftables;
  runtime.kernel.refuses.emplace(Backend::iptables, held);
  runtime.kernel.cannot_undo.emplace(Backend::nftables, refused);
  CHECK(runtime.add("b", "10.1.1.6/24") ==
        "11: the lock is held; what was changed before could not be taken back (the kernel says no) and "
        "stays recorded: "
        "the next call for this network, or ip-masq sync, mends it");
  CHECK(runtime.recorded() == "cbr0 on nftables leaving iptables: a b");
  CHECK(runtime.check("a", "10.1.1.5/24") ==
        "102: the rules of network cbr0 are still on their way from iptables to nftables");
  runtime.kernel.refuses.clear();
  CHECK(runtime.del("b").empty());
  CHECK(runtime.add("c", "10.1.1.7/24").empty());
  CHECK(runtime.recorded() == "cbr0 on nftables: a c");
  CHECK(runtime.in(Backend::iptables).empty());
  CHECK(runtime.check("a", "10.1.1.5/24").empty());
}

TEST_CASE("the last DEL takes the rules out of both back ends that have some") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  runtime.kernel.prefers = Backend::nftables;
  runtime.kernel.refuses.emplace(Backend::iptables, held);
  runtime.kernel.cannot_undo.emplace(Backend::nftables, refused);
  CHECK_FALSE(runtime.add("a", "10.1.1.5/24").empty());
  CHECK_FALSE(runtime.del("a").empty());
  runtime.kernel.refuses.clear();
  runtime.kernel.cannot_undo.clear();
  CHECK(runtime.del("a").empty());
  CHECK(runtime.in(Backend::nftables).empty());
  CHECK(runtime.in(Backend::iptables).empty());
  CHECK(runtime.recorded().empty());
}

TEST_CASE("a kernel that cannot be asked decides about no back end") {
  Runtime runtime;
  runtime.kernel.cannot_prefer = Error(Kind::failed, "no memory");
  CHECK(runtime.add("a", "10.1.1.5/24") == "5: no memory");
  CHECK(runtime.recorded().empty());
}

TEST_CASE("the second pod of a subnet reads once and commits nothing") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  runtime.kernel.reads = runtime.kernel.commits = 0;
  CHECK(runtime.add("b", "10.1.1.6/24").empty());
  CHECK(runtime.kernel.reads == 1);
  CHECK(runtime.kernel.commits == 0);
  CHECK(runtime.recorded() == "cbr0 on iptables: a b");
}

TEST_CASE("an ADD leaves alone what it knows nothing of: pods with an address of their own") {
  Runtime runtime;
  for (const auto* const number : {"1", "2", "3"})
    CHECK(runtime.add(number, std::string("10.1.1.") + number + "/32").empty());
  CHECK(runtime.in_kernel() == "10.1.1.1/32 10.1.1.2/32 10.1.1.3/32 ");
  CHECK(runtime.check("2", "10.1.1.2/32").empty());
  CHECK(runtime.del("2").empty());
  CHECK(runtime.in_kernel() == "10.1.1.1/32 10.1.1.3/32 ");
  runtime.kernel.prefers = Backend::nftables;
  CHECK(runtime.add("4", "10.1.1.4/32").empty());
  CHECK(runtime.in(Backend::nftables) == "10.1.1.1/32 10.1.1.3/32 10.1.1.4/32 ");
  CHECK(runtime.in(Backend::iptables).empty());
}

TEST_CASE("what an ADD says is in force is so for pods with an address of their own, of either family") {
  Runtime runtime;
  const auto is_random = [&runtime] {
    std::string text;
    for (const auto& chain : runtime.kernel.tables[Backend::iptables].chains[{"cbr0"}])
      text += chain.translation.random_fully ? "random " : "plain ";
    return text;
  };
  CHECK(runtime.add("1", "10.1.1.1/32").empty());
  CHECK(is_random() == "random ");
  CHECK(runtime.add("2", "fd00:1::2/64", "cbr0", R"(,"randomFully":false)").empty());
  CHECK(is_random() == "plain plain ");
}

TEST_CASE(
    "a pod subnet stays with the network that has it, and pods of others there lead by their own addresses") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.244.1.5/24").empty());
  CHECK(runtime.add("b", "10.244.1.6/24", "another").empty());
  CHECK(runtime.leading() == "10.244.1.6 another, 10.244.1.0 cbr0");
  CHECK(runtime.check("a", "10.244.1.5/24").empty());
  CHECK(runtime.check("b", "10.244.1.6/24", "another").empty());
  CHECK(runtime.add("c", "10.244.1.200/25", "within").empty());
  CHECK(runtime.add("d", "10.244.1.7/24").empty());
  CHECK(runtime.add("e", "10.244.7.7/16", "around").empty());
  CHECK(runtime.add("f", "10.244.1.8/16", "around").empty());
  CHECK(runtime.leading() ==
        "10.244.1.6 another, 10.244.1.8 around, 10.244.1.200 within, 10.244.1.0 cbr0, 10.244.0.0 around");
  CHECK(runtime.warnings.empty());

  SUBCASE("also where nothing is recorded of it any more") {
    std::filesystem::remove_all(runtime.folder.path() / "cbr0");
    CHECK(runtime.add("g", "10.244.1.9/24", "zzz").empty());
    CHECK(runtime.add("h", "10.244.1.10/24").empty());
    CHECK(runtime.leading() ==
          "10.244.1.6 another, 10.244.1.8 around, 10.244.1.9 zzz, 10.244.1.10 cbr0, 10.244.1.200 within, "
          "10.244.1.0 cbr0, 10.244.0.0 around");
  }
  SUBCASE("also where a pod's record is damaged") {
    std::ofstream(runtime.folder.path() / "cbr0/pods/a:eth0") << "no JSON";
    CHECK(runtime.add("g", "10.244.1.9/24", "aaa").empty());
    CHECK(runtime.leading() ==
          "10.244.1.6 another, 10.244.1.8 around, 10.244.1.9 aaa, 10.244.1.200 within, 10.244.1.0 cbr0, "
          "10.244.0.0 around");
  }
  SUBCASE("who comes after the last of its pods has it") {
    CHECK(runtime.del("a").empty());
    CHECK(runtime.del("d").empty());
    CHECK(runtime.del("f", "around").empty());
    CHECK(runtime.add("g", "10.244.7.9/24", "another").empty());
    CHECK(runtime.del("e", "around").empty());
    CHECK(runtime.add("h", "10.244.1.9/24", "another").empty());
    CHECK(runtime.leading() ==
          "10.244.1.6 another, 10.244.1.200 within, 10.244.7.9 another, 10.244.1.0 another");
    CHECK(runtime.add("i", "10.244.1.10/24").empty());
    CHECK(
        runtime.leading() ==
        "10.244.1.6 another, 10.244.1.10 cbr0, 10.244.1.200 within, 10.244.7.9 another, 10.244.1.0 another");
    CHECK(runtime.check("i", "10.244.1.10/24").empty());
  }
  SUBCASE("and nothing of them stays") {
    CHECK(runtime.del("b", "another").empty());
    CHECK(runtime.del("c", "within").empty());
    CHECK(runtime.del("f", "around").empty());
    CHECK(runtime.leading() == "10.244.1.0 cbr0, 10.244.0.0 around");
    CHECK(runtime.del("a").empty());
    CHECK(runtime.del("d").empty());
    CHECK(runtime.del("e", "around").empty());
    CHECK(runtime.leading().empty());
    CHECK(runtime.recorded().empty());
  }
}

TEST_CASE("the chain of pods that lead by their own addresses keeps the subnet that they stand in") {
  Runtime runtime;
  const auto shared = [&runtime] {
    std::string text;
    for (const auto& chain : runtime.kernel.tables[Backend::iptables].chains[{"another"}]) {
      for (const auto& subnet : chain.shared_subnets) text += net::to_text(subnet) + " ";
    }
    return text;
  };
  CHECK(runtime.add("a", "10.244.1.5/24").empty());
  CHECK(runtime.add("b", "10.244.1.6/24", "another").empty());
  CHECK(runtime.add("c", "10.244.2.6/24", "another").empty());
  CHECK(shared() == "10.244.1.0/24 ");
  CHECK(runtime.del("a").empty());
  CHECK(runtime.check("b", "10.244.1.6/24", "another").empty());
  CHECK(shared() == "10.244.1.0/24 ");
  CHECK(runtime.gc(R"([{"containerID":"b","ifname":"eth0"},{"containerID":"c","ifname":"eth0"}])", "another")
            .empty());
  CHECK(shared() == "10.244.1.0/24 ");
  SUBCASE("until the last of them ends") {
    CHECK(runtime.del("b", "another").empty());
  }
  SUBCASE("until a GC") {
    CHECK(runtime.gc(R"([{"containerID":"c","ifname":"eth0"}])", "another").empty());
  }
  CHECK(shared().empty());
  CHECK(runtime.check("c", "10.244.2.6/24", "another").empty());
}

TEST_CASE("an ADD that fails leaves other networks as they are") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.244.1.5/24").empty());
  CHECK(runtime.add("b", "10.244.1.6/24", "another").empty());
  const auto table = runtime.kernel.tables[Backend::iptables];
  const auto recorded = runtime.recorded();
  runtime.kernel.refuses.emplace(Backend::iptables, refused);
  CHECK(runtime.add("c", "10.244.1.7/24", "third") == "101: the kernel says no");
  CHECK(runtime.add("d", "10.244.1.6/24", "third") == "101: the kernel says no");  // an address of another
  CHECK(runtime.kernel.tables[Backend::iptables] == table);
  CHECK(runtime.recorded() == recorded);
  runtime.kernel.refuses.clear();
  CHECK(runtime.check("b", "10.244.1.6/24", "another").empty());
}

TEST_CASE("of two pods with one address the rules are those of the one that came last") {
  Runtime runtime;
  CHECK(runtime.add("old", "10.244.1.5/24").empty());
  CHECK(runtime.add("new", "10.244.1.5/24", "another").empty());
  CHECK(runtime.leading() == "10.244.1.5 another, 10.244.1.0 cbr0");
  CHECK(runtime.add("newer", "10.244.1.5/24").empty());
  CHECK(runtime.warnings ==
        "ip-masq: 10.244.1.5 is recorded of new (eth0) in network another as well, which has ended or has an "
        "address that is not its own: from now on it follows the rules of network cbr0\n");
  CHECK(runtime.leading() == "10.244.1.0 cbr0");
  CHECK(runtime.recorded() == "another on iptables: new; cbr0 on iptables: newer old");
  CHECK(runtime.check("newer", "10.244.1.5/24").empty());
  CHECK(runtime.del("new", "another").empty());
  CHECK(runtime.recorded() == "cbr0 on iptables: newer old");
}

TEST_CASE("a pod's address is its own also where rules that no record tells of have it") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.244.1.6/24").empty());
  CHECK(runtime.add("b", "10.244.1.5/24", "another").empty());
  SUBCASE("whose network is not recorded") {
    std::filesystem::remove_all(runtime.folder.path() / "another");
  }
  SUBCASE("whose network has other pods") {
    std::filesystem::remove_all(runtime.folder.path() / "another");
    CHECK(runtime.add("c", "10.244.1.7/24", "another").empty());
    CHECK(runtime.recorded() == "another on iptables: c +10.244.1.5/32; cbr0 on iptables: a");
  }
  CHECK(runtime.add("d", "10.244.1.5/24").empty());
  CHECK(
      runtime.warnings ==
      "ip-masq: rules of network another stood for 10.244.1.5, of whose pod nothing is recorded: from now on "
      "it follows the rules of network cbr0\n");
  CHECK(runtime.check("d", "10.244.1.5/24").empty());
  CHECK(runtime.add("e", "10.244.1.8/24", "another").empty());
  CHECK(runtime.check("d", "10.244.1.5/24").empty());
}

TEST_CASE("of a call that fails the rules that no record tells of stay") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.244.1.6/24").empty());
  CHECK(runtime.add("b", "10.244.1.5/24", "another").empty());
  std::filesystem::remove_all(runtime.folder.path() / "another");
  CHECK(runtime.add("c", "10.244.1.7/24", "another").empty());
  const auto before = runtime.leading() + runtime.recorded();
  runtime.kernel.refuses.emplace(Backend::iptables, refused);
  CHECK(runtime.add("d", "10.244.1.5/24") == "101: the kernel says no");
  CHECK(runtime.leading() + runtime.recorded() == before);
}

TEST_CASE("sync leads pods apart from a pod subnet of others that no record tells of") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.244.1.5/24").empty());
  auto& table = runtime.kernel.tables[Backend::iptables];
  table.sources.insert({net::parse_interface_address("10.244.1.0/24")->network(), "another"});
  table.chains[{"another"}] = {};
  CHECK(sync_pass(state::Store(runtime.folder.path()), runtime.kernel, {}).is_right);
  CHECK(runtime.leading() == "10.244.1.5 cbr0, 10.244.1.0 another");
  CHECK(runtime.check("a", "10.244.1.5/24").empty());
}

TEST_CASE(
    "a network in the other back end takes no pods of others along, and says where others take its own") {
  Runtime runtime;
  const std::string met = "packets of 10.244.1.6 meet rules of network cbr0 first, 10.244.1.0/24 in nftables";
  const std::string help =
      "the same \"backend\" for both networks, or neither: \"auto\" keeps all networks of a node together; "
      "then "
      "ip-masq sync";
  SUBCASE("nftables comes to iptables") {
    CHECK(runtime.add("a", "10.244.1.5/24", "cbr0", R"(,"backend":"iptables")").empty());
    CHECK(runtime.add("b", "10.244.1.6/24", "another", R"(,"backend":"nftables")").empty());
    CHECK(runtime.warnings.empty());
    CHECK(runtime.check("a", "10.244.1.5/24").empty());
    CHECK(runtime.check("b", "10.244.1.6/24", "another").empty());
  }
  SUBCASE("iptables comes to nftables") {
    CHECK(runtime.add("a", "10.244.1.5/24", "cbr0", R"(,"backend":"nftables")").empty());
    for (const auto* const again : {"the first time", "and again"}) {
      CAPTURE(again);
      CHECK(runtime.add("b", "10.244.1.6/24", "another", R"(,"backend":"iptables")").empty());
      CHECK(runtime.warnings == "ip-masq: " + met + ": " + help + "\n");
    }
    CHECK(runtime.check("a", "10.244.1.5/24").empty());
    CHECK(runtime.check("b", "10.244.1.6/24", "another") == "102: " + met);
  }
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
  runtime.kernel.refuses.emplace(Backend::iptables, refused);
  CHECK(runtime.del("a") == "101: the kernel says no");
  CHECK(runtime.recorded() == "cbr0 on iptables: a");
  runtime.kernel.refuses.clear();
  CHECK(runtime.del("a").empty());
  CHECK(runtime.recorded().empty());
}

TEST_CASE("an ADD of the same container with another subnet moves its rules") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  CHECK(runtime.add("a", "10.1.2.5/24").empty());
  CHECK(runtime.in_kernel() == "10.1.2.0/24 ");
  CHECK(runtime.recorded() == "cbr0 on iptables: a");
}

TEST_CASE("another network's trouble fails no call") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  runtime.kernel.prefers = Backend::nftables;
  runtime.kernel.refuses.emplace(Backend::iptables, held);
  CHECK(runtime.add("b", "10.2.1.5/24", "other").empty());
  CHECK(runtime.warnings == "ip-masq: network cbr0 could not be settled: the lock is held\n");
  CHECK(runtime.recorded() == "cbr0 on iptables: a; other on nftables: b");
  CHECK(runtime.check("b", "10.2.1.5/24", "other").empty());
  CHECK(runtime.del("b", "other").empty());
  runtime.kernel.refuses.clear();
  CHECK(runtime.add("b", "10.2.1.5/24", "other").empty());
  CHECK(runtime.recorded() == "cbr0 on nftables: a; other on nftables: b");
}

TEST_CASE("of a wrong file what was good last stays in force, for new pods too") {
  Runtime runtime;
  std::ofstream(runtime.folder.path() / ".config") << "nonMasqueradeCIDRs: [10.9.0.0/16]\n";
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  const auto before = runtime.kernel.tables[Backend::iptables];
  std::ofstream(runtime.folder.path() / ".config") << "nonMasqueradeCIDRs: [10.9.0.1/16]\n";
  CHECK(runtime.add("b", "10.1.1.6/24").empty());
  CHECK(runtime.warnings.find("expected an aligned network, 10.9.0.0/16") != std::string::npos);
  CHECK(runtime.check("b", "10.1.1.6/24").empty());
  CHECK(runtime.kernel.tables[Backend::iptables] == before);
  runtime.kernel.tables.clear();
  CHECK(runtime.add("c", "10.1.1.7/24").empty());
  CHECK(runtime.kernel.tables[Backend::iptables] == before);
  CHECK(runtime.add("d", "10.2.1.7/24", "new").empty());  // with what cbr0 knows good
  Runtime another;
  std::ofstream(another.folder.path() / ".config") << "nonMasqueradeCIDRs: [10.9.0.1/16]\n";
  CHECK(another.add("a", "10.1.1.5/24").starts_with("7: "));
}

TEST_CASE("an ADD that fails beside a damaged record leaves it as it was") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  std::ofstream(runtime.folder.path() / "cbr0/network.json") << "{damaged";
  runtime.kernel.refuses.emplace(Backend::iptables, Error(Kind::busy, "held"));
  CHECK_FALSE(runtime.add("b", "10.1.2.6/24").empty());
  std::ifstream record(runtime.folder.path() / "cbr0/network.json");
  std::string text;
  std::getline(record, text);
  CHECK(text == "{damaged");
}

TEST_CASE("after the loss of the state the rules of pods that may live stay until GC knows better") {
  Runtime runtime;
  for (const auto* const number : {"1", "2"})
    CHECK(runtime.add(number, std::string("10.1.") + number + ".5/24").empty());
  std::filesystem::remove_all(runtime.folder.path() / "cbr0");
  CHECK(runtime.del("1").empty());
  CHECK(runtime.in_kernel() == "10.1.1.0/24 10.1.2.0/24 ");
  CHECK(runtime.add("3", "10.1.3.5/24").empty());
  CHECK(runtime.recorded() == "cbr0 on iptables: 3 +10.1.1.0/24 +10.1.2.0/24");
  CHECK(runtime.del("3").empty());
  CHECK(runtime.in_kernel() == "10.1.1.0/24 10.1.2.0/24 ");
  CHECK(runtime.gc(R"([{"containerID":"1","ifname":"eth0"}])").empty());
  CHECK(runtime.in_kernel() == "10.1.1.0/24 10.1.2.0/24 ");
  CHECK(runtime.add("1", "10.1.1.5/24").empty());
  CHECK(runtime.gc(R"([{"containerID":"1","ifname":"eth0"}])").empty());
  CHECK(runtime.in_kernel() == "10.1.1.0/24 ");
  CHECK(runtime.recorded() == "cbr0 on iptables: 1");
}

TEST_CASE("GC forgets what is not valid, of its own network only") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  CHECK(runtime.add("b", "10.1.2.5/24").empty());
  CHECK(runtime.add("c", "10.3.1.5/24", "other").empty());
  CHECK(runtime.gc(R"([{"containerID":"b","ifname":"eth0"}])").empty());
  CHECK(runtime.recorded() == "cbr0 on iptables: b; other on iptables: c");
  CHECK(runtime.in_kernel() == "10.1.2.0/24 10.3.1.0/24 ");
  CHECK(runtime.gc("[]").empty());
  CHECK(runtime.recorded() == "other on iptables: c");
}

TEST_CASE("GC goes on after an error and reports all of them") {
  Runtime runtime;
  for (const auto* const container : {"a", "b", "c"}) CHECK(runtime.add(container, "10.1.1.5/24").empty());
  for (const auto* const container : {"a", "b"}) {  // a folder is no file
    const auto path = runtime.folder.path() / "cbr0/pods" / (std::string(container) + ":eth0");
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
  }
  runtime.kernel.refuses.emplace(Backend::iptables, refused);
  const auto folder = (runtime.folder.path() / "cbr0/pods").string();
  const auto stays = [&folder](const std::string& container) {
    return "; cannot read " + folder + "/" + container + ":eth0: Is a directory; the attachment of " +
           container +
           " (eth0) stays recorded, though its rules may be gone: the next GC, or its DEL, forgets it";
  };
  CHECK(runtime.gc("[]") ==
        "101: the kernel says no; rules of pods that are gone stay until a GC can take them along" +
            stays("a") + stays("b"));
  CHECK(runtime.recorded() == "cbr0 on iptables: (unread) +10.1.1.0/24");
  CHECK(runtime.in_kernel() == "10.1.1.0/24 ");

  runtime.kernel.refuses.clear();
  for (const auto* const name : {"/a:eth0", "/b:eth0"}) std::filesystem::remove(folder + name);
  CHECK(runtime.gc("[]").empty());
  CHECK(runtime.recorded().empty());
  CHECK(runtime.in_kernel().empty());
}

TEST_CASE("a record that is damaged is made anew, and its rules go wherever they are") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  const auto path = runtime.folder.path() / "cbr0/network.json";
  std::ofstream(path) << "{\"catch";
  CHECK(
      runtime.check("a", "10.1.1.5/24").starts_with("102: network cbr0: " + path.string() + " is damaged: "));
  SUBCASE("by an ADD") {
    CHECK(runtime.add("b", "10.1.1.6/24").empty());
    CHECK(runtime.check("a", "10.1.1.5/24").empty());
  }
  SUBCASE("by the last DEL") {
    CHECK(runtime.del("a").empty());
    CHECK(runtime.in_kernel().empty());
    CHECK(runtime.recorded().empty());
  }
}

TEST_CASE("a marker that is lost costs no pod its rules") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  CHECK(runtime.add("b", "10.1.2.5/24").empty());
  CHECK(runtime.add("c", "10.1.2.6/24").empty());
  CHECK(runtime.add("d", "10.9.1.5/24", "other").empty());
  for (const auto* const network : {"cbr0", "other"})
    std::filesystem::remove_all(runtime.folder.path() / network / "subnets");
  SUBCASE("by a DEL") {
    CHECK(runtime.del("c").empty());
    CHECK(runtime.in_kernel() == "10.1.1.0/24 10.1.2.0/24 10.9.1.0/24 ");
    CHECK(runtime.del("b").empty());
    CHECK(runtime.del("a").empty());
    CHECK(runtime.in_kernel() == "10.9.1.0/24 ");
  }
  SUBCASE("by an ADD of the same container elsewhere") {
    CHECK(runtime.add("c", "10.1.3.6/24").empty());
    CHECK(runtime.in_kernel() == "10.1.1.0/24 10.1.2.0/24 10.1.3.0/24 10.9.1.0/24 ");
  }
  SUBCASE("by a GC") {
    CHECK(runtime.gc(R"([{"containerID":"b","ifname":"eth0"}])").empty());
    CHECK(runtime.in_kernel() == "10.1.2.0/24 10.9.1.0/24 ");
    CHECK(runtime.del("b").empty());
    CHECK(runtime.in_kernel() == "10.9.1.0/24 ");
  }
  SUBCASE("by a move") {
    runtime.kernel.prefers = Backend::nftables;
    CHECK(runtime.add("e", "10.1.4.5/24").empty());
    CHECK(runtime.in(Backend::nftables) == "10.1.1.0/24 10.1.2.0/24 10.1.4.0/24 ");
    CHECK(runtime.add("f", "10.9.1.6/24", "other").empty());
    CHECK(runtime.in(Backend::nftables) == "10.1.1.0/24 10.1.2.0/24 10.1.4.0/24 10.9.1.0/24 ");
    CHECK(runtime.in(Backend::iptables).empty());
  }
}

TEST_CASE("after the loss of pods' files their rules stay until a GC whose pods are all recorded") {
  Runtime runtime;
  for (const auto* const number : {"1", "2"})
    CHECK(runtime.add(number, std::string("10.1.") + number + ".5/24").empty());
  for (const auto* const kind : {"pods", "subnets"})
    std::filesystem::remove_all(runtime.folder.path() / "cbr0" / kind);
  constexpr auto first = R"([{"containerID":"1","ifname":"eth0"}])";
  SUBCASE("whatever GC it is") {
    CHECK(runtime.gc(first).empty());
    CHECK(runtime.in_kernel() == "10.1.1.0/24 10.1.2.0/24 ");
    CHECK(runtime.recorded() == "cbr0 on iptables: +10.1.1.0/24 +10.1.2.0/24");
  }
  SUBCASE("though the network moves") {
    runtime.kernel.prefers = Backend::nftables;
    CHECK(runtime.add("3", "10.1.3.5/24").empty());
    CHECK(runtime.in(Backend::iptables).empty());
    CHECK(runtime.in_kernel() == "10.1.1.0/24 10.1.2.0/24 10.1.3.0/24 ");
    CHECK(runtime.recorded() == "cbr0 on nftables: 3 +10.1.1.0/24 +10.1.2.0/24");
    CHECK(runtime.del("3").empty());
    CHECK(runtime.recorded() == "cbr0 on nftables: +10.1.1.0/24 +10.1.2.0/24");
  }
  CHECK(runtime.add("1", "10.1.1.5/24").empty());
  CHECK(runtime.gc(first).empty());
  CHECK(runtime.in_kernel() == "10.1.1.0/24 ");
  CHECK(runtime.del("1").empty());
  CHECK(runtime.in_kernel().empty());
}

TEST_CASE("after the loss of a network's record nothing stays of the pods whose files tell of them") {
  Runtime runtime;
  for (const auto* const number : {"1", "2"})
    CHECK(runtime.add(number, std::string("10.1.") + number + ".5/24").empty());
  std::filesystem::remove(runtime.folder.path() / "cbr0/network.json");
  CHECK(runtime.add("3", "10.1.3.5/24").empty());
  CHECK(runtime.recorded() == "cbr0 on iptables: 1 2 3");
  for (const auto* const number : {"1", "2", "3"}) CHECK(runtime.del(number).empty());
  CHECK(runtime.in_kernel().empty());
}

TEST_CASE("what is recorded can be read again, or is refused before anything is written") {
  Runtime runtime;
  const auto with_list = [](const std::string& items) { return R"(,"nonMasqueradeCIDRs":[)" + items + "]"; };
  std::string doubles = "\"10.0.0.0/8\"";
  for (int count = 0; count < 100'000; ++count) doubles += ",\"10.0.0.0/8\"";
  CHECK(runtime
            .add("a", "10.1.1.5/24", "cbr0",
                 with_list(doubles) + R"(,"catchALL":")" + std::string(2'000'000, 'x') + "\"")
            .empty());
  CHECK(std::filesystem::file_size(runtime.folder.path() / "cbr0/network.json") < 1000);
  CHECK(runtime.del("a").empty());

  std::string spellings;
  for (unsigned count = 0; count < 60'000; ++count) {
    std::string text = "abcd:efab:cdef:abcd:efab::/80";
    unsigned letter = 0;
    for (auto& each : text) {
      const bool is_letter = each >= 'a' && each <= 'f';
      if (is_letter && (count >> letter++ % 16 & 1U) != 0) each = static_cast<char>(each - 'a' + 'A');
    }
    spellings += (count == 0 ? "\"" : ",\"") + text + "\"";
  }
  CHECK(runtime.add("a", "10.1.1.5/24", "cbr0", with_list(spellings))
            .starts_with("7: what is to be recorded of network cbr0 has "));
  CHECK(runtime.recorded().empty());
  CHECK_FALSE(std::filesystem::exists(runtime.folder.path() / "cbr0"));
}

TEST_CASE("a record too large to be read keeps no pod from starting or ending") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  CHECK(runtime.add("b", "10.1.1.6/24").empty());
  const auto path = runtime.folder.path() / "cbr0/network.json";
  std::ofstream(path) << std::string(2'000'000, ' ');
  SUBCASE("an ADD writes it anew") {
    CHECK(runtime.add("c", "10.1.1.7/24").empty());
    CHECK(runtime.recorded() == "cbr0 on iptables: a b c");
    CHECK(runtime.del("c").empty());
  }
  CHECK(runtime.del("b").empty());
  CHECK(runtime.in_kernel() == "10.1.1.0/24 ");
  CHECK(runtime.del("a").empty());
  CHECK(runtime.in_kernel().empty());
  CHECK(runtime.recorded().empty());
}

TEST_CASE("a DEL that is not the last of its pod subnet needs no record of the network") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24").empty());
  CHECK(runtime.add("b", "10.1.1.6/24").empty());
  std::ofstream(runtime.folder.path() / "cbr0/network.json") << R"({"format": 5})";
  CHECK(runtime.del("b").empty());
  CHECK(runtime.del("a").starts_with("7: "));
  CHECK(runtime.in_kernel() == "10.1.1.0/24 ");
}

TEST_CASE("a network cannot have the name of the lock") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24", "lock") ==
        "7: name is \"lock\": expected another, this one is a file of ip-masq's own");
  CHECK(runtime.del("a", "lock").empty());
}

}  // namespace ipmasq::plugin
