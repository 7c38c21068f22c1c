#include "config/in_force.hpp"

#include <doctest/doctest.h>

#include <fstream>

#include "temporary_folder.hpp"
#include "texts.hpp"

namespace ipmasq::config {

namespace {

class Files {
 public:
  cni::Json netconf(const std::string& keys = "{}") const {
    auto json = cni::Json::parse(keys);
    json["configFile"] = config().string();
    json["subnetFile"] = subnet_file().string();
    return json;
  }
  std::filesystem::path config() const { return folder_.path() / "config"; }
  std::filesystem::path subnet_file() const { return folder_.path() / "subnet.env"; }
  static void write(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path) << text;
  }

 private:
  test::TemporaryFolder folder_;
};

std::string kept(const SharedConfiguration& configuration) {
  std::string text;
  for (const auto& listed : configuration->netconf.non_masquerade) {
    if (listed.prefix.family() == net::Family::ipv4) text += net::to_text(listed.prefix) + " ";
  }
  for (const auto& network : configuration->made_of.cluster_networks)
    text += "+" + net::to_text(network) + " ";
  return text;
}

const HasPods no_pods = [](net::Family) { return false; };

}  // namespace

TEST_CASE("what the files say is in force, and can be made again without them") {
  const Files files;
  files.write(files.config(), "nonMasqueradeCIDRs: [10.1.0.0/16]\n");
  files.write(files.subnet_file(), "FLANNEL_NETWORK=10.244.0.0/16\n");
  const auto netconf = files.netconf(R"({"nonMasqueradeCIDRs": ["10.9.0.0/16"], "type": "ip-masq"})");
  const auto configuration = in_force(read_configuration(netconf), std::nullopt, no_pods);
  CHECK(kept(configuration) == "10.1.0.0/16 +10.244.0.0/16 ");
  CHECK(configuration->problems.empty());
  CHECK_FALSE(configuration->made_of.netconf.contains("type"));
  std::filesystem::remove(files.config());
  CHECK(kept(as_made(configuration->made_of)) == "10.1.0.0/16 +10.244.0.0/16 ");
  CHECK(kept(in_force(read_configuration(netconf), configuration->made_of, no_pods)) ==
        "10.9.0.0/16 +10.244.0.0/16 ");
}

TEST_CASE("of a wrong file what was good last stays in force, and is told") {
  const Files files;
  files.write(files.config(), "nonMasqueradeCIDRs: [10.1.0.0/16]\n");
  files.write(files.subnet_file(), "FLANNEL_NETWORK=10.244.0.0/16\n");
  const auto good = in_force(read_configuration(files.netconf()), std::nullopt, no_pods)->made_of;

  SUBCASE("the agent's file") {
    files.write(files.config(), "nonMasqueradeCIDRs: [10.9.0.1/16]\n");
    files.write(files.subnet_file(), "FLANNEL_NETWORK=10.245.0.0/16\n");
    const auto now = in_force(read_configuration(files.netconf()), good, no_pods);
    CHECK(kept(now) == "10.1.0.0/16 +10.245.0.0/16 ");
    CHECK(now->problems ==
          std::vector{files.config().string() +
                      ", line 1: nonMasqueradeCIDRs is \"10.9.0.1/16\": expected an aligned network, "
                      "10.9.0.0/16"});
  }
  SUBCASE("flannel's") {
    files.write(files.config(), "nonMasqueradeCIDRs: [10.2.0.0/16]\n");
    files.write(files.subnet_file(), "FLANNEL_NETWORK=10.244.0.0/99\n");
    const auto now = in_force(read_configuration(files.netconf()), good, no_pods);
    CHECK(kept(now) == "10.2.0.0/16 +10.244.0.0/16 ");
    CHECK(now->problems.size() == 1);
  }
  SUBCASE("a netconf that changes meanwhile counts") {
    files.write(files.config(), "[");
    const auto now = in_force(read_configuration(files.netconf(R"({"catchAll": false})")), good, no_pods);
    CHECK(kept(now) == "10.1.0.0/16 +10.244.0.0/16 ");
    CHECK_FALSE(now->netconf.catch_all);
  }
  SUBCASE("a netconf that the last good file does not go with does not") {
    files.write(files.config(), "[");
    const auto now =
        in_force(read_configuration(files.netconf(R"({"masqueradeCIDRs": ["10.1.0.0/16"]})")), good, no_pods);
    CHECK(kept(now) == "10.1.0.0/16 +10.244.0.0/16 ");
    CHECK(now->netconf.masquerade.empty());
    CHECK(now->made_of == good);
  }
}

TEST_CASE("where nothing good is known a wrong file is an error, with all that is wrong") {
  const Files files;
  files.write(files.config(), "[");
  files.write(files.subnet_file(), "FLANNEL_NETWORK=x\n");
  const auto said =
      test::error_of([&] { in_force(read_configuration(files.netconf()), std::nullopt, no_pods); });
  CHECK(said.starts_with("7: " + files.config().string() + ", line "));
  CHECK(said.find("; " + files.subnet_file().string() + ", line 1: ") != std::string::npos);
}

TEST_CASE("a wrong netconf is an error whatever was good last") {
  const Files files;
  const auto good = in_force(read_configuration(files.netconf()), std::nullopt, no_pods)->made_of;
  CHECK(test::error_of([&] { read_configuration(files.netconf(R"({"catchAll": 1})")); }) ==
        "7: catchAll is 1: expected true or false");
}

TEST_CASE("a family that subnet.env has lost stays while pods have it, and is told") {
  const Files files;
  files.write(files.subnet_file(), "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_IPV6_NETWORK=fd00:244::/48\n");
  const auto good = in_force(read_configuration(files.netconf()), std::nullopt, no_pods)->made_of;
  const auto networks = [](const SharedConfiguration& configuration) {
    return configuration->made_of.cluster_networks;
  };
  files.write(files.subnet_file(), "FLANNEL_IPV6_NETWORK=fd00:244::/48\n");
  const HasPods pods_of_ipv4 = [](net::Family family) { return family == net::Family::ipv4; };
  auto now = in_force(read_configuration(files.netconf()), good, pods_of_ipv4);
  CHECK(networks(now) == std::vector{good.cluster_networks[1], good.cluster_networks[0]});
  CHECK(now->problems == std::vector{files.subnet_file().string() +
                                     " names no IPv4 network any more, though pods have such addresses: "
                                     "expected a line such as FLANNEL_NETWORK=10.244.0.0/16"});
  now = in_force(read_configuration(files.netconf()), now->made_of, pods_of_ipv4);
  CHECK(networks(now) == std::vector{good.cluster_networks[1], good.cluster_networks[0]});

  now = in_force(read_configuration(files.netconf()), good, no_pods);
  CHECK(networks(now) == std::vector{good.cluster_networks[1]});
  CHECK(now->problems.empty());
  std::filesystem::remove(files.subnet_file());
  CHECK(networks(in_force(read_configuration(files.netconf()), good, pods_of_ipv4)).empty());
}

}  // namespace ipmasq::config
