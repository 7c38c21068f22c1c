#include "doctor/findings.hpp"

#include <doctest/doctest.h>

#include "networks.hpp"
#include "texts.hpp"

namespace ipmasq::doctor {

namespace {

// Names, with what was found and the fixes indented below.
std::string text(const Facts& facts) {
  std::string all;
  for (const auto& finding : examine(facts)) {
    all += finding.name + "\n";
    for (const auto& place : finding.where) all += "  found: " + place + "\n";
    for (const auto& fix : finding.fix) all += "  fix: " + fix + "\n";
    CHECK_FALSE(finding.does.empty());
    CHECK_FALSE(finding.fix.empty());
  }
  return all;
}

nat::ForeignRule masquerade(const std::string& subnet) {
  return {.program = "iptables-legacy",
          .chain = "POSTROUTING",
          .source = {{test::prefix(subnet)}},
          .target = "MASQUERADE"};
}

}  // namespace

TEST_CASE("a rule of somebody else, and the command that deletes it") {
  nat::ForeignRule rule{.program = "iptables-legacy",
                        .chain = "POSTROUTING",
                        .source = {{test::prefix("172.17.0.0/16")}},
                        .destination = {{test::prefix("224.0.0.0/4"), true}},
                        .out_interface = {{"docker0", true}},
                        .comment = "it's \"docker\"",
                        .not_to_local = true,
                        .target = "MASQUERADE"};
  const std::string specification =
      R"( -s 172.17.0.0/16 ! -d 224.0.0.0/4 ! -o docker0 -m comment --comment 'it'\''s "docker"' -m addrtype ! --dst-type LOCAL -j MASQUERADE)";
  CHECK(nat::to_text(rule) == "iptables-legacy -t nat -A POSTROUTING" + specification);
  CHECK(nat::delete_command(rule) == "iptables-legacy -t nat -D POSTROUTING" + specification);
  rule.program = "nft";
  rule.family = "ip";
  rule.handle = 7;
  CHECK(nat::to_text(rule) == "nft ip nat POSTROUTING handle 7:" + specification);
  CHECK(nat::delete_command(rule) == "nft delete rule ip nat POSTROUTING handle 7");
}

TEST_CASE("what others left is not offered for removal while pods have nothing else") {
  Facts facts;
  nat::ForeignRule jump{.program = "iptables-legacy", .chain = "POSTROUTING", .target = "IP-MASQ-AGENT"};
  facts.node.foreign.rules = {jump};
  CHECK(text(facts).starts_with(
      "ip-masq-agent-leftover\n  found: iptables-legacy -t nat -A POSTROUTING -j IP-MASQ-AGENT\n"
      "  fix: iptables-legacy -t nat -D POSTROUTING -j IP-MASQ-AGENT\n"));
  facts.ours.not_adopted = {"cbr0: default/web 10.244.1.7/24 (0123 eth0)"};
  CHECK(text(facts) ==
        "pods-not-adopted\n  found: cbr0: default/web 10.244.1.7/24 (0123 eth0)\n  fix: ip-masq adopt\n"
        "ip-masq-agent-leftover\n  found: iptables-legacy -t nat -A POSTROUTING -j IP-MASQ-AGENT\n"
        "  fix: # this comes first, or pods lose what these rules do for them (pods-not-adopted); then ask "
        "doctor "
        "again:\n  fix: ip-masq adopt\n");
}

TEST_CASE("nothing is found where there is nothing") {
  CHECK(text({}).empty());
  Facts facts;
  facts.node.foreign.rules = {masquerade("192.0.2.0/24")};
  facts.node.flannel_masquerades = false;
  facts.node.lists = conflist::read_networks(
      {{.name = "b.conf", .text = R"({"type": "bridge"})"},
       {.name = "c.conflist", .text = R"({"plugins": "odd"})"},
       {.name = "d.conflist", .text = R"({"plugins": [7, {"type": 7}]})"},
       {.name = "e.conflist", .text = R"({"name": "e", "plugins": [{"type": "bridge"}]})"}});
  facts.node.forwards_ipv6 = false;  // no pods need it
  CHECK(text(facts).empty());
}

TEST_CASE("no fix has what a tool would read as more than a name") {
  Facts facts;
  nat::ForeignRule jump{.program = "iptables-legacy",
                        .chain = "POSTROUTING",
                        .comment = "ip-masq-agent: ensure",
                        .target = "-w",
                        .is_jump = true};
  nat::ForeignRule in_chain{.program = "iptables-legacy", .chain = "-w", .target = "RETURN"};
  facts.node.foreign.rules = {jump, in_chain};
  CHECK(text(facts).ends_with(
      "  fix: # have its owner take it away, no command can name it: iptables-legacy -t nat chain -w\n"));

  nat::ForeignRule rule{.program = "nft", .family = "ip", .table = "t", .chain = "c-1/x_y.z", .handle = 7};
  CHECK(nat::delete_command(rule) == "nft delete rule ip t c-1/x_y.z handle 7");
  for (const auto* const name :
       {"c handle 1; flush ruleset; delete rule ip x c", "-x", "1c", "a b", "a'b", ""}) {
    rule.chain = name;
    CHECK(nat::delete_command(rule).starts_with(
        "# have its owner take it away, no command can name it: ip t "));
  }
  rule = {.program = "iptables-legacy",
          .table = "raw",
          .chain = "PREROUTING",
          .number = 3,
          .in_interface = {{"e\x1b[31m", true}},
          .target = "NOTRACK"};
  CHECK(nat::delete_command(rule) == "iptables-legacy -t raw -D PREROUTING 3");
}

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

namespace {

const std::vector<BinFolder> with_plugins{
    {.path = "/opt/cni/bin",
     .programs = {{"flannel", ""}, {"bridge", ""}, {"host-local", ""}, {"ip-masq", ""}}}};

}  // namespace

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
        "  fix: ip-masq install --conf-dir /etc/cni/net.d --bin-dir /opt/cni/bin\n"
        "  fix: # or, where ip-masq is given up, once no pod needs it for its end: rm /opt/cni/bin/ip-masq\n"
        "flannel-turns-bridge-masquerade-on\n"
        "  found: /etc/cni/net.d/10-flannel.json: the flannel plugin's delegate does not say ipMasq\n"
        "  found: FLANNEL_IPMASQ=false in /run/flannel/subnet.env\n"
        "  fix: # scripts/snat-off flannel (or \"ipMasq\": false in its \"delegate\" in "
        "/etc/cni/net.d/10-flannel.json)\n");
}

namespace {

constexpr auto with_entry =
    R"({"name":"cbr0","cniVersion":"1.0.0","plugins":[{"type":"flannel","delegate":{"ipMasq":false}},{"type":"ip-masq"}]})";
constexpr auto without_entry =
    R"({"name":"cbr0","cniVersion":"1.0.0","plugins":[{"type":"flannel","delegate":{"ipMasq":false}}]})";

// Behind a file of multus with these keys.
Facts behind_multus(const std::string& keys, const std::string& flannels) {
  Facts facts;
  facts.node.conf_dir = "/etc/cni/net.d";
  facts.node.bin_folders = with_plugins;
  facts.node.lists =
      conflist::read_networks({{.name = "00-multus.conf",
                                .text = R"({"cniVersion":"0.3.1","name":"multus-cni-network",)" + keys + "}"},
                               {.name = "10-flannel.conflist", .text = flannels}});
  return facts;
}

}  // namespace

TEST_CASE("the way to an entry leads into the folder that has the list's plugins, where it is known") {
  const auto fix = [](const std::vector<BinFolder>& folders, bool is_search_known = false) {
    Facts facts;
    facts.node.conf_dir = "/etc/cni/net.d";
    facts.node.bin_folders = folders;
    facts.node.is_search_known = is_search_known;
    facts.node.lists = conflist::read_networks({{.name = "10-flannel.conflist", .text = without_entry}});
    for (const auto& finding : examine(facts)) {
      if (finding.name == "entry-missing") return finding.fix;
    }
    return std::vector<std::string>{};
  };
  const BinFolder usual{.path = "/opt/cni/bin", .programs = {{"bridge", ""}, {"host-local", ""}}};
  auto right = usual;
  right.path = "/usr/libexec/cni";
  right.programs["flannel"] = "";
  auto other = right;
  other.path = "/usr/lib/cni";
  const std::vector<std::string> found{
      "ip-masq install --conf-dir /etc/cni/net.d --bin-dir /usr/libexec/cni"};
  const std::vector<std::string> none{
      "# ip-masq install --conf-dir /etc/cni/net.d --bin-dir DIR: DIR is where the runtime looks for "
      "plugins, "
      "which is not known here"};
  CHECK(fix({usual, right}) == found);
  CHECK(fix({right, usual}, true) == found);
  CHECK(fix({}) == none);
  CHECK(fix({usual}) == none);
  CHECK(fix({usual, right, other}) == none);
}

TEST_CASE("multus hands pods on to a list of the folder") {
  for (const auto* const to :
       {"/host/etc/cni/net.d/10-flannel.conflist", "/etc/cni/net.d/10-flannel.conflist", "cbr0"}) {
    const auto keys = R"("type":"multus-shim","clusterNetwork":")" + std::string(to) + '"';
    CHECK(text(behind_multus(keys, with_entry)).empty());
    CHECK(text(behind_multus(keys, without_entry)) ==
          "entry-missing\n"
          "  found: /etc/cni/net.d/10-flannel.conflist is what multus takes for pods, as "
          "/etc/cni/net.d/00-multus.conf says, and has no entry of ip-masq\n"
          "  found: /opt/cni/bin/ip-masq is there, and no list asks for it\n"
          "  fix: ip-masq install --conf-dir /etc/cni/net.d --bin-dir /opt/cni/bin\n"
          "  fix: # or, where ip-masq is given up, once no pod needs it for its end: rm "
          "/opt/cni/bin/ip-masq\n");
  }
}

TEST_CASE("multus keeps a copy of a list") {
  const auto copy = [](const std::string& list) { return R"("type":"multus","delegates":[)" + list + "]"; };
  CHECK(text(behind_multus(copy(with_entry), with_entry)).empty());
  const std::string found =
      "entry-missing\n"
      "  found: the list \"cbr0\" that multus keeps in /etc/cni/net.d/00-multus.conf is what pods get, and "
      "has no "
      "entry of ip-masq\n";
  const std::string restart =
      "  fix: # restart multus' pod of this node: where it makes that file itself (--multus-conf-file=auto) "
      "it reads the "
      "list again when it starts; where you have written it, put the entry behind the other plugins there\n";
  CHECK(text(behind_multus(copy(without_entry), with_entry)) ==
        found + "  found: /etc/cni/net.d/10-flannel.conflist has one\n" + restart);
  CHECK(text(behind_multus(copy(without_entry), without_entry)) ==
        found +
            "  found: /opt/cni/bin/ip-masq is there, and no list asks for it\n"
            "  fix: ip-masq install --conf-dir /etc/cni/net.d --bin-dir /opt/cni/bin\n" +
            restart +
            "  fix: # or, where ip-masq is given up, once no pod needs it for its end: rm "
            "/opt/cni/bin/ip-masq\n");
  CHECK(text(behind_multus(copy(R"({"type":"macvlan"})"), without_entry)).empty());
}

TEST_CASE("where multus hands pods on to is not always to be seen") {
  for (const auto& [keys, to] : std::vector<std::pair<std::string, std::string>>{
           {R"("type":"multus","clusterNetwork":"/etc/kubernetes/cni/net.d/10-flannel.conflist")",
            "/etc/kubernetes/cni/net.d/10-flannel.conflist"},
           {R"("type":"multus","clusterNetwork":"other")", "the network \"other\""},
           {R"("type":"multus-shim")", "what its daemon was told"}})
    CHECK(text(behind_multus(keys, with_entry)) ==
          "pods-led-elsewhere\n"
          "  found: /etc/cni/net.d/00-multus.conf is what the runtime loads: multus hands pods on to " +
              to + "\n  fix: # see that the entry stands there, behind the other plugins\n");
  CHECK(text(behind_multus(R"("type":"multus-shim")", without_entry)).empty());
}

TEST_CASE("records of pods whose end nobody told of") {
  Facts facts;
  facts.node.conf_dir = "/etc/cni/net.d";
  facts.node.bin_folders = with_plugins;
  facts.node.lists = conflist::read_networks({{.name = "10-flannel.conflist", .text = without_entry}});
  facts.node.has_cache = true;
  facts.node.cached_results = {"other-c1-eth0"};
  facts.ours.networks = {{.name = "cbr0",
                          .backend = "nftables",
                          .pod_subnets = {test::prefix("10.244.1.0/24")},
                          .attachments = {{"default/web 10.244.1.7/24", "cbr0-c1-eth0"}}}};
  const std::string ended =
      "records-of-ended-pods\n"
      "  found: network cbr0: default/web 10.244.1.7/24\n"
      "  fix: # where none of this node's pods needs them, this takes all rules and records away:\n"
      "  fix: ip-masq uninstall --rules\n";
  CHECK(text(facts) == ended +
                           "  fix: # where ip-masq is to stay:\n  fix: ip-masq install --conf-dir "
                           "/etc/cni/net.d --bin-dir /opt/cni/bin\n");
  const auto lists = std::exchange(
      facts.node.lists,
      conflist::read_networks({{.name = "05-cilium.conflist",
                                .text = R"({"name":"cilium","plugins":[{"type":"cilium-cni"}]})"}}));
  CHECK(text(facts) == ended);
  facts.node.lists.clear();  // could not be read
  CHECK(text(facts).empty());
  facts.node.lists = lists;
  const std::string missing =
      "entry-missing\n"
      "  found: /etc/cni/net.d/10-flannel.conflist is what the runtime loads, and has no entry of ip-masq\n"
      "  fix: ip-masq install --conf-dir /etc/cni/net.d --bin-dir /opt/cni/bin\n";
  facts.node.cached_results.emplace_back("cbr0-c1-eth0");
  CHECK(text(facts) == missing);
  CHECK(examine(facts).front().does.find("for as long as pods that are recorded") != std::string::npos);
  facts.node.cached_results.clear();
  facts.node.has_cache = false;  // nobody can tell
  CHECK(text(facts) == missing);
}

TEST_CASE("settings matter to the families that pods have") {
  Facts facts;
  facts.ours.networks = {{"cbr0", "nftables", {test::prefix("fd00::/64")}}};
  facts.node.forwards_ipv4 = facts.node.forwards_ipv6 = false;
  CHECK(text(facts) ==
        "ipv6-forwarding-off\n  found: net.ipv6.conf.all.forwarding = 0\n"
        "  fix: sysctl -w net.ipv6.conf.all.forwarding=1\n"
        "  fix: echo 'net.ipv6.conf.all.forwarding = 1' >> /etc/sysctl.d/90-ip-masq.conf  # for the next "
        "boot\n");
}

TEST_CASE("two networks that hand out addresses of one subnet, in two back ends") {
  Facts facts;
  facts.ours.networks = {{"cbr0", "nftables", {}}, {"other", "nftables", {}}};
  facts.ours.wanted = nat::wanted_ruleset(
      {test::network("cbr0", "", {"10.244.1.0/24"}), test::network("other", "", {"10.244.1.0/25"})});
  CHECK(text(facts).empty());
  facts.ours.networks.back().backend = "iptables";
  CHECK(text(facts) ==
        "pod-subnet-of-two-networks\n"
        "  found: 10.244.1.0/25 of network other, in iptables, and 10.244.1.0/24 of cbr0, in nftables\n"
        "  fix: # the same \"backend\" for both, or neither: \"auto\" keeps all networks of a node together; "
        "then "
        "ip-masq sync\n");
}

TEST_CASE("networks that OSPF tells the way to are exempt, as a whole") {
  Facts facts;
  facts.ours.wanted = nat::wanted_ruleset(
      {test::network("cbr0", R"("nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.1.2.0/24"])",
                     {"10.244.1.0/24"})});
  facts.node.ospf_routes = {test::prefix("0.0.0.0/0"), test::prefix("10.9.0.0/16"),
                            test::prefix("fd00:9::/32")};
  CHECK(text(facts).empty());
  facts.node.ospf_routes = {test::prefix("10.1.0.0/16"), test::prefix("10.1.2.128/25"),
                            test::prefix("10.0.0.0/7"), test::prefix("172.20.0.0/16")};
  CHECK(text(facts) ==
        "ospf-network-not-exempt\n"
        "  found: 10.1.0.0/16, from pods of network cbr0\n"
        "  found: 10.1.2.128/25, from pods of network cbr0\n"
        "  found: 10.0.0.0/7, from pods of network cbr0\n"
        "  found: 172.20.0.0/16, from pods of network cbr0\n"
        "  fix: # add them to nonMasqueradeCIDRs, in ip-masq's entry of the conflist or in its configFile\n");
}

TEST_CASE("flannel's last rule matters where OSPF leads outside hosts to the node") {
  Facts facts;
  facts.node.foreign.rules = {{.program = "iptables-legacy",
                               .chain = "FLANNEL-POSTRTG",
                               .source = {{test::prefix("10.244.0.0/16"), true}},
                               .destination = {{test::prefix("10.244.0.0/16")}},
                               .target = "MASQUERADE"}};
  CHECK(text(facts).find("flannel-hides-outside-hosts") == std::string::npos);
  facts.node.processes = {"ospfd"};
  CHECK(text(facts).find(
            "flannel-hides-outside-hosts\n"
            "  found: iptables-legacy -t nat -A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j "
            "MASQUERADE\n  fix: # scripts/snat-off flannel\n") != std::string::npos);
}

}  // namespace ipmasq::doctor
