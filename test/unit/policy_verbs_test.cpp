// What becomes of pods with policies as they come and go, and as policies change.
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "memory_backend.hpp"
#include "plugin/agent/sync_pass.hpp"
#include "plugin/verbs/verbs.hpp"
#include "state/store.hpp"
#include "temporary_folder.hpp"
#include "texts.hpp"

namespace ipmasq::plugin {

namespace {

using config::Backend;

constexpr auto partner = "policies: [{name: partner, namespaces: [payments], annotated: [batch-*]}]\n";

class Runtime {
 public:
  Runtime() { write(partner); }

  void write(const std::string& file) const { std::ofstream(folder.path() / ".config") << file; }

  std::string add(const std::string& container, const std::string& address, const std::string& space,
                  const std::string& asked = "") {
    return test::error_of([&] {
      std::ostringstream output;
      std::ostringstream told;
      plugin::add(request(cni::Command::add, container, address, space, asked), kernel, output, told);
      warnings = told.str();
    });
  }
  std::string del(const std::string& container) {
    return test::error_of([&] { plugin::del(request(cni::Command::del, container, "", "", ""), kernel); });
  }
  std::string check(const std::string& container, const std::string& address) {
    return test::error_of([&] {
      std::ostringstream told;
      plugin::check(request(cni::Command::check, container, address, "", ""), kernel, told);
    });
  }
  std::string sync() {
    std::string text;
    for (const auto& problem : sync_pass(state::Store(folder.path()), kernel, {}).problems)
      text += problem + "\n";
    return text;
  }
  // "10.1.1.5 cbr0/partner, 10.1.1.0 cbr0": in the order in which they are asked.
  std::string leading() {
    std::string text;
    for (const auto& source : kernel.open(kernel.prefers, {})->sources())
      text += (text.empty() ? "" : ", ") + net::to_text(source.prefix.address) + " " +
              nat::to_text(source.owner());
    return text;
  }
  state::Network stored() const { return state::Store(folder.path()).load("cbr0"); }

  test::TemporaryFolder folder;
  test::MemoryKernel kernel;
  std::string warnings;

 private:
  cni::Request request(cni::Command command, const std::string& container, const std::string& address,
                       const std::string& space, const std::string& asked) const {
    const auto args = space.empty() ? "" : "K8S_POD_NAMESPACE=" + space + ";K8S_POD_NAME=" + container;
    cni::Environment environment{command, container, "/netns", "eth0", args};
    cni::Json json{{"cniVersion", "1.1.0"},
                   {"name", "cbr0"},
                   {"configFile", (folder.path() / ".config").string()},
                   {"subnetFile", "/nonexistent"},
                   {"stateDir", folder.path().string()}};
    if (!address.empty()) json["prevResult"] = {{"ips", {{{"address", address}}}}};
    if (!asked.empty())
      json["runtimeConfig"] = {
          {"io.kubernetes.cri.pod-annotations", {{"ip-masq/policy", asked}, {"x", "y"}}}};
    return cni::make_request(environment, std::move(json));
  }
};

}  // namespace

TEST_CASE("pods get the policy of their namespace, or the one that they ask for and may have") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24", "payments").empty());
  CHECK(runtime.add("b", "10.1.1.6/24", "batch-1").empty());
  CHECK(runtime.add("c", "10.1.1.7/24", "batch-1", "partner").empty());
  CHECK(runtime.add("d", "10.1.1.8/24", "other", "partner").empty());
  CHECK(runtime.add("e", "10.1.1.9/24", "", "partner").empty());
  CHECK(runtime.leading() == "10.1.1.5 cbr0/partner, 10.1.1.7 cbr0/partner, 10.1.1.0 cbr0");
  for (const auto& [pod, address] :
       {std::pair("a", "10.1.1.5/24"), {"b", "10.1.1.6/24"}, {"c", "10.1.1.7/24"}})
    CHECK(runtime.check(pod, address).empty());
  CHECK(runtime.stored().find({"d", "eth0"})->asks_for == "partner");
  CHECK(runtime.sync().empty());
  CHECK(runtime.leading() == "10.1.1.5 cbr0/partner, 10.1.1.7 cbr0/partner, 10.1.1.0 cbr0");

  CHECK(runtime.del("a").empty());
  CHECK(runtime.leading() == "10.1.1.7 cbr0/partner, 10.1.1.0 cbr0");
  for (const auto* const pod : {"b", "c", "d"}) CHECK(runtime.del(pod).empty());
  CHECK(runtime.leading() == "10.1.1.0 cbr0");
  CHECK(runtime.del("e").empty());
  CHECK(runtime.leading().empty());
  CHECK(state::Store(runtime.folder.path()).networks().empty());
}

TEST_CASE("nothing that an annotation says is more than a name") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24", "batch-1", "\x1b[2J../../partner").empty());
  CHECK(runtime.stored().find({"a", "eth0"})->asks_for == R"("\u001b[2J../../partner")");
  CHECK(runtime.add("b", "10.1.1.6/24", "batch-1", std::string(5000, 'x')).empty());
  CHECK(runtime.stored().find({"b", "eth0"})->asks_for.size() < 200);
  CHECK(runtime.leading() == "10.1.1.0 cbr0");
}

TEST_CASE("a change of policies moves running pods: by a pass, or by the next ADD") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24", "payments").empty());
  CHECK(runtime.add("b", "10.1.1.6/24", "team-a").empty());
  runtime.write("policies: [{name: team, namespaces: [team-*]}, {name: partner, namespaces: [x]}]\n");
  SUBCASE("a pass") {
    CHECK(runtime.sync().empty());
  }
  SUBCASE("an ADD") {
    CHECK(runtime.check("a", "10.1.1.5/24").starts_with("102: the rules are not as they should be"));
    CHECK(runtime.add("c", "10.1.1.7/24", "other").empty());
  }
  CHECK(runtime.leading() == "10.1.1.6 cbr0/team, 10.1.1.0 cbr0");
  CHECK(runtime.check("a", "10.1.1.5/24").empty());
  CHECK(runtime.check("b", "10.1.1.6/24").empty());

  runtime.write("catchAll: true\n");
  CHECK(runtime.add("d", "10.1.1.8/24", "team-a").empty());
  CHECK(runtime.leading() == "10.1.1.0 cbr0");
  CHECK(runtime.sync().empty());
  CHECK(runtime.leading() == "10.1.1.0 cbr0");
  CHECK(runtime.stored().wanted_subnets() == std::set{test::prefix("10.1.1.0/24")});
}

TEST_CASE("a wrong policy changes nothing, for running and for new pods") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24", "payments").empty());
  runtime.write("policies: [{name: partner, namespaces: [Payments]}]\n");
  CHECK(runtime.add("b", "10.1.1.6/24", "payments").empty());
  CHECK(runtime.warnings.find("policy partner: namespaces is \"Payments\"") != std::string::npos);
  CHECK(runtime.leading() == "10.1.1.5 cbr0/partner, 10.1.1.6 cbr0/partner, 10.1.1.0 cbr0");
}

TEST_CASE("who comes last has the address, with its own policy") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24", "payments").empty());
  CHECK(runtime.add("b", "10.1.1.5/24", "other").empty());
  CHECK(runtime.leading() == "10.1.1.0 cbr0");
  CHECK(runtime.sync().empty());
  CHECK(runtime.leading() == "10.1.1.0 cbr0");
  CHECK(runtime.add("c", "10.1.1.5/24", "payments").empty());
  CHECK(runtime.leading() == "10.1.1.5 cbr0/partner, 10.1.1.0 cbr0");
  CHECK(runtime.del("a").empty());
  CHECK(runtime.del("b").empty());
  CHECK(runtime.leading() == "10.1.1.5 cbr0/partner, 10.1.1.0 cbr0");
  CHECK(runtime.sync().empty());
  CHECK(runtime.leading() == "10.1.1.5 cbr0/partner, 10.1.1.0 cbr0");
}

TEST_CASE("a lead to a policy that nobody needs is taken away by the pod that comes to the address") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.6/24", "other").empty());
  const auto before = runtime.kernel.tables;
  CHECK(runtime.add("b", "10.1.1.5/24", "payments").empty());
  const auto with_b = runtime.kernel.tables;
  CHECK(runtime.del("b").empty());
  CHECK(runtime.kernel.tables == before);
  runtime.kernel.tables = with_b;
  CHECK(runtime.add("c", "10.1.1.5/24", "other").empty());
  CHECK(runtime.leading() == "10.1.1.0 cbr0");
}

TEST_CASE("policies go along to another back end") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24", "payments").empty());
  runtime.kernel.prefers = Backend::nftables;
  CHECK(runtime.add("b", "10.1.1.6/24", "other").empty());
  CHECK(runtime.leading() == "10.1.1.5 cbr0/partner, 10.1.1.0 cbr0");
  CHECK(runtime.kernel.tables[Backend::iptables] == test::MemoryTable{});
}

TEST_CASE("pods whose records were lost keep their policies until a GC") {
  Runtime runtime;
  CHECK(runtime.add("a", "10.1.1.5/24", "payments").empty());
  std::filesystem::remove_all(runtime.folder.path() / "cbr0");
  CHECK(runtime.add("b", "10.1.1.6/24", "other").empty());
  CHECK(runtime.leading() == "10.1.1.5 cbr0/partner, 10.1.1.0 cbr0");
  CHECK(runtime.sync().empty());
  CHECK(runtime.leading() == "10.1.1.5 cbr0/partner, 10.1.1.0 cbr0");

  std::ofstream(runtime.folder.path() / "cbr0/pods/b:eth0") << "x";
  CHECK_FALSE(runtime.sync().empty());
  CHECK(runtime.leading() == "10.1.1.5 cbr0/partner, 10.1.1.0 cbr0");
}

}  // namespace ipmasq::plugin
