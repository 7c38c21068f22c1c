#include <doctest/doctest.h>

#include "doctor/findings.hpp"
#include "finding_texts.hpp"
#include "texts.hpp"

namespace ipmasq::doctor {

namespace {

using test::text;
using test::with_plugins;

nat::ForeignRule masquerade(const std::string& subnet) {
  return {.program = "iptables-legacy",
          .chain = "POSTROUTING",
          .source = {{test::prefix(subnet)}},
          .target = "MASQUERADE"};
}

}  // namespace

TEST_CASE("docker's rule is named with what switches it off, and without where it is off") {
  Facts facts;
  auto rule = masquerade("172.17.0.0/16");
  rule.out_interface = {"docker0", true};
  facts.node.foreign.rules = {rule};
  const std::string found =
      "docker-masquerade\n  found: iptables-legacy -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j "
      "MASQUERADE\n";
  const std::string remove =
      "  fix: iptables-legacy -t nat -D POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n";
  CHECK(text(facts) == found +
                           "  fix: # scripts/snat-off docker (or \"ip-masq\": false in "
                           "/etc/docker/daemon.json), then restart docker\n" +
                           remove);
  facts.node.docker_config = cni::Json{{"ip-masq", false}};
  CHECK(text(facts) ==
        found + "  found: /etc/docker/daemon.json has \"ip-masq\": false: the rules were left behind\n" +
            remove);
}

TEST_CASE("docker's bridges are known by its own chains, whatever users named them") {
  Facts facts;
  const auto behind = [](const std::string& subnet, const std::string& bridge) {
    auto rule = masquerade(subnet);
    rule.out_interface = {{bridge, true}};
    return rule;
  };
  const auto led_to = [](const std::string& chain, const std::string& bridge, const std::string& target) {
    return nat::ForeignRule{.program = "iptables-legacy",
                            .table = "filter",
                            .chain = chain,
                            .out_interface = {{bridge, false}},
                            .target = target,
                            .is_jump = target != "ACCEPT"};
  };
  facts.node.networks = {{"app0", test::prefix("10.5.0.0/16")}, {"lan0", test::prefix("10.6.0.0/16")}};
  facts.node.foreign.rules = {behind("10.5.0.0/16", "app0"), behind("10.6.0.0/16", "lan0"),
                              led_to("DOCKER-USER", "lan0", "ACCEPT")};
  CHECK(text(facts).empty());
  const std::string found =
      "docker-masquerade\n  found: iptables-legacy -t nat -A POSTROUTING -s 10.5.0.0/16 ! -o app0 -j "
      "MASQUERADE\n";
  const std::string fix =
      "  fix: # daemon.json does not decide for the network of app0: make it anew with what docker network "
      "inspect shows of the network that has com.docker.network.bridge.name app0, and "
      "-o com.docker.network.bridge.enable_ip_masquerade=false\n";
  for (const auto& its : {led_to("FORWARD", "app0", "DOCKER"), led_to("DOCKER-CT", "app0", "ACCEPT")}) {
    facts.node.foreign.rules.push_back(its);
    CHECK(text(facts) == found + fix);
    facts.node.foreign.rules.pop_back();
  }
  facts.node.foreign.rules.push_back(led_to("FORWARD", "app0", "DOCKER"));
  facts.node.docker_config = cni::Json{{"bridge", "app0"}};
  CHECK(text(facts) == found +
                           "  fix: # scripts/snat-off docker (or \"ip-masq\": false in "
                           "/etc/docker/daemon.json), then restart docker\n"
                           "  fix: iptables-legacy -t nat -D POSTROUTING -s 10.5.0.0/16 ! -o app0 -j "
                           "MASQUERADE\n");
}

TEST_CASE("of docker's networks those that users made are told apart, and bridges of others are left alone") {
  const auto behind = [](const char* network, const char* bridge) {
    auto rule = masquerade(network);
    rule.out_interface = {bridge, true};
    return rule;
  };
  Facts facts;
  auto with_comment = behind("172.17.0.0/16", "docker0");
  with_comment.comment = "mine";
  auto elsewhere = behind("172.17.0.0/16", "docker0");
  elsewhere.chain = "MINE";
  facts.node.foreign.rules = {behind("192.168.50.0/24", "br-lan"),
                              behind("192.168.50.0/24", "br-0123456789aB"),
                              behind("192.168.50.0/24", "br-0123456789a"),
                              behind("192.168.50.0/24", "docker1"),
                              behind("172.16.0.0/12", "docker0"),
                              with_comment,
                              elsewhere};
  facts.node.networks = {{"docker0", test::prefix("172.17.0.0/16")},
                         {"br-0123456789ab", test::prefix("10.1.0.0/16")}};
  CHECK(text(facts).empty());
  facts.node.foreign.rules = {behind("10.1.0.0/16", "br-0123456789ab"),
                              behind("10.2.0.0/16", "br-ba9876543210")};
  CHECK(text(facts) ==
        "docker-masquerade\n"
        "  found: iptables-legacy -t nat -A POSTROUTING -s 10.1.0.0/16 ! -o br-0123456789ab -j MASQUERADE\n"
        "  found: iptables-legacy -t nat -A POSTROUTING -s 10.2.0.0/16 ! -o br-ba9876543210 -j MASQUERADE\n"
        "  fix: iptables-legacy -t nat -D POSTROUTING -s 10.2.0.0/16 ! -o br-ba9876543210 -j MASQUERADE\n"
        "  fix: # daemon.json does not decide for the network of br-0123456789ab: make it anew with what "
        "docker network inspect 0123456789ab shows, and -o "
        "com.docker.network.bridge.enable_ip_masquerade=false\n");
}

TEST_CASE("flannel in k3s cannot be switched off, and is not said to be") {
  Facts facts;
  facts.node.subnet_file = "/run/flannel/subnet.env";
  facts.node.flannel_masquerades = true;
  facts.node.processes = {"k3s-agent"};
  CHECK(text(facts) ==
        "flannel-masquerade\n  found: FLANNEL_IPMASQ=true in /run/flannel/subnet.env\n"
        "  fix: # k3s has flannel in it, and always lets it masquerade: ip-masq's rules hold against that\n");
}

TEST_CASE("a single plugin that is no list can spring flannel's trap as well") {
  Facts facts;
  facts.node.subnet_file = "/run/flannel/subnet.env";
  facts.node.flannel_masquerades = false;
  facts.node.conf_dir = "/etc/cni/net.d";
  facts.node.bin_folders = with_plugins;
  facts.node.lists = conflist::read_networks(
      {{.name = "10-flannel.json", .text = R"({"name": "cbr0", "type": "flannel"})"}});
  CHECK(text(facts) ==
        "entry-missing\n"
        "  found: /etc/cni/net.d/10-flannel.json is what the runtime loads, and has no entry of ip-masq\n"
        "  found: /opt/cni/bin/ip-masq is there, and no list asks for it\n"
        "  fix: # mend /etc/cni/net.d/10-flannel.json first: it has no \"cniVersion\": ip-masq speaks 0.3.0, "
        "0.3.1, 0.4.0, 1.0.0, 1.1.0; then: ip-masq install --conf-dir /etc/cni/net.d --bin-dir /opt/cni/bin\n"
        "  fix: # or, where ip-masq is given up, once no pod needs it for its end: rm /opt/cni/bin/ip-masq\n"
        "flannel-turns-bridge-masquerade-on\n"
        "  found: /etc/cni/net.d/10-flannel.json: the flannel plugin's delegate does not say ipMasq\n"
        "  found: FLANNEL_IPMASQ=false in /run/flannel/subnet.env\n"
        "  fix: # scripts/snat-off flannel (or \"ipMasq\": false in its \"delegate\" in "
        "/etc/cni/net.d/10-flannel.json)\n");
}

}  // namespace ipmasq::doctor
