#include "config/netconf.hpp"

#include <doctest/doctest.h>

#include <array>

#include "config/known_keys.hpp"
#include "error/error.hpp"
#include "texts.hpp"

namespace ipmasq::config {

namespace {

Netconf parse(const std::string& keys) {
  return parse_netconf(cni::Json::parse("{" + keys + "}"));
}

std::string listed(const std::vector<ListedPrefix>& list) {
  std::string text;
  for (const auto& [prefix, origin] : list) text += net::to_text(prefix) + " " + origin.text() + "\n";
  return text;
}

std::string subnets(const std::string& keys, const std::vector<net::InterfaceAddress>& addresses) {
  std::string text;
  for (const auto& subnet : pod_subnets_of(parse(keys), addresses)) text += net::to_text(subnet) + " ";
  return text;
}

}  // namespace

TEST_CASE("defaults are those of the documentation") {
  const auto netconf = parse("");
  CHECK(listed(netconf.non_masquerade) ==
        "10.0.0.0/8 nonMasqueradeCIDRs (default)\n"
        "172.16.0.0/12 nonMasqueradeCIDRs (default)\n"
        "192.168.0.0/16 nonMasqueradeCIDRs (default)\n"
        "fc00::/7 nonMasqueradeCIDRs (default)\n");
  CHECK(netconf.masquerade.empty());
  CHECK(netconf.catch_all);
  CHECK_FALSE(netconf.masquerade_link_local);
  CHECK_FALSE(netconf.masquerade_link_local_ipv6);
  CHECK(netconf.random_fully);
  CHECK(netconf.exemption == Exemption::hold);
  CHECK(netconf.drop_invalid);
  CHECK(netconf.changed_flows == ChangedFlows::udp);
  CHECK(netconf.yield_marks == std::vector<Mark>{{0x4000, 0x4000}, {0x2000, 0x2000}});
  CHECK(netconf.subnet_file == "/run/flannel/subnet.env");
  CHECK(netconf.config_file == "/etc/config/ip-masq-agent");
  CHECK(netconf.state_dir == "/run/cni/ip-masq");
  CHECK_FALSE(netconf.backend);
  CHECK(netconf.resync_interval == std::chrono::seconds(60));
  CHECK(netconf.lock_timeout == std::chrono::seconds(30));
}

TEST_CASE("a list that names one family leaves the other at its default") {
  CHECK(listed(parse(R"("nonMasqueradeCIDRs": ["10.1.0.0/16"])").non_masquerade) ==
        "10.1.0.0/16 nonMasqueradeCIDRs\nfc00::/7 nonMasqueradeCIDRs (default)\n");
  CHECK(
      listed(parse(R"("nonMasqueradeCIDRs": ["fd00::/8"], "nonMasqueradeReserved": true)").non_masquerade) ==
      "fd00::/8 nonMasqueradeCIDRs\n"
      "10.0.0.0/8 nonMasqueradeCIDRs (default)\n"
      "172.16.0.0/12 nonMasqueradeCIDRs (default)\n"
      "192.168.0.0/16 nonMasqueradeCIDRs (default)\n"
      "100.64.0.0/10 nonMasqueradeReserved\n"
      "192.0.0.0/24 nonMasqueradeReserved\n"
      "192.0.2.0/24 nonMasqueradeReserved\n"
      "192.88.99.0/24 nonMasqueradeReserved\n"
      "198.18.0.0/15 nonMasqueradeReserved\n"
      "198.51.100.0/24 nonMasqueradeReserved\n"
      "203.0.113.0/24 nonMasqueradeReserved\n"
      "240.0.0.0/4 nonMasqueradeReserved\n");
}

TEST_CASE("an empty list means none, and reserved ranges join the default list only") {
  CHECK(parse(R"("nonMasqueradeCIDRs": [], "nonMasqueradeReserved": true)").non_masquerade.empty());
  CHECK(
      listed(
          parse(R"("nonMasqueradeCIDRs": ["10.1.0.0/16"], "nonMasqueradeReserved": true)").non_masquerade) ==
      "10.1.0.0/16 nonMasqueradeCIDRs\nfc00::/7 nonMasqueradeCIDRs (default)\n");
}

TEST_CASE("one error names everything that is wrong") {
  CHECK(test::error_of([] {
          parse(R"("catchAll": "yes", "toPorts": "5-4", "masqueradeCIDRs": ["10.1.0.0/8"], "backend": 3)");
        }) ==
        "7: masqueradeCIDRs is \"10.1.0.0/8\": expected an aligned network, 10.0.0.0/8; "
        "toPorts is \"5-4\": expected ports such as \"1024-29999,32768-65535\", that do not overlap; "
        "catchAll is \"yes\": expected true or false; "
        "backend is 3: expected \"auto\" or \"iptables\" or \"nftables\"");
}

TEST_CASE("an IPv4 network in IPv6's clothes is refused with its own form") {
  const auto refused = [](const std::string& key, const std::string& text) {
    return test::error_of([&] { parse("\"" + key + "\": [\"" + text + "\"]"); });
  };
  for (const auto* const key : {"nonMasqueradeCIDRs", "masqueradeCIDRs", "podSubnets"}) {
    const std::string start = "7: " + std::string(key) + " is ";
    CHECK(refused(key, "::ffff:35.100.0.0/112") ==
          start + "\"::ffff:35.100.0.0/112\": expected an IPv4 network as such, 35.100.0.0/16");
    CHECK(refused(key, "::ffff:2364:1/112") ==
          start + "\"::ffff:2364:1/112\": expected an IPv4 network as such, 35.100.0.0/16");
    CHECK(refused(key, "::FFFF:0:0/96") ==
          start + "\"::FFFF:0:0/96\": expected an IPv4 network as such, 0.0.0.0/0");
  }
  CHECK(refused("snatTo", "::ffff:203.0.113.7") ==
        "7: snatTo is \"::ffff:203.0.113.7\": expected an IPv4 address as such, 203.0.113.7");
  CHECK(parse(R"("nonMasqueradeCIDRs": ["::/0", "::/80", "64:ff9b::/96"])").non_masquerade.size() == 6);
}

TEST_CASE("durations have limits") {
  const std::string resync = ": expected a duration from 1s to 24h, such as \"1m30s\"";
  const std::string lock = ": expected a duration of at most 10m, such as \"30s\" or \"500ms\"";
  for (const auto* const text : {"999ms", "24h1ns", "2562047h"}) {
    CHECK(test::error_of([&] { parse(R"("resyncInterval": ")" + std::string(text) + "\""); }) ==
          "7: resyncInterval is \"" + std::string(text) + "\"" + resync);
  }
  for (const auto* const text : {"10m1ns", "2562047h"}) {
    CHECK(test::error_of([&] { parse(R"("lockTimeout": ")" + std::string(text) + "\""); }) ==
          "7: lockTimeout is \"" + std::string(text) + "\"" + lock);
  }
  CHECK(parse(R"("resyncInterval": "24h")").resync_interval == std::chrono::hours(24));
  CHECK(parse(R"("lockTimeout": "10m")").lock_timeout == std::chrono::minutes(10));
}

TEST_CASE("a misspelt key is warned of, what runtimes add is not") {
  const auto warnings =
      parse(R"("nonMasqueradeCidrs": [], "podSubnet": [], "x": 1, "cniVersion": "1.0.0", "name": "n",
      "type": "ip-masq", "prevResult": {}, "runtimeConfig": {}, "args": {}, "capabilities": {}, "ipam": {}, "dns": {},
      "cni.dev/attachments": [], "ipMasq": true, "mtu": 1)")
          .warnings;
  CHECK(warnings ==
        std::vector<std::string>{"key \"nonMasqueradeCidrs\" of the network configuration is not known, and "
                                 "left alone: did you mean \"nonMasqueradeCIDRs\"?",
                                 "key \"podSubnet\" of the network configuration is not known, and left "
                                 "alone: did you mean \"podSubnets\"?"});
}

TEST_CASE("long lists and many problems are read in no time") {
  std::string list;
  for (int item = 0; item < 10'000; ++item) {
    list += (item == 0 ? "\"" : ",\"") + std::to_string(1 + item / 4000) + "." + std::to_string(item / 250) +
            "." + std::to_string(item % 250) + ".0/24\"";
  }
  const auto both = R"("cidrLimit": 10000, "nonMasqueradeCIDRs": [], "masqueradeCIDRs": [)" + list + "]";
  CHECK(parse(both).masquerade.size() == 10'000);
  std::string wrong = "\"x\"";
  for (int item = 1; item < 200'000; ++item) wrong += ",\"x\"";
  const auto said = test::error_of([&wrong] { parse("\"nonMasqueradeCIDRs\": [" + wrong + "]"); });
  CHECK(said.ends_with("; and 199976 more"));
}

TEST_CASE("the limit counts what is written") {
  CHECK(test::error_of([] { parse(R"("cidrLimit": 1, "nonMasqueradeCIDRs": ["10.0.0.0/8"])"); }).empty());
  CHECK(test::error_of([] { parse(R"("cidrLimit": 0)"); }).empty());
  CHECK(test::error_of([] {
          parse(
              R"("cidrLimit": 1, "nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.1.0.0/16"])");
        }) == "7: nonMasqueradeCIDRs and masqueradeCIDRs have 2 entries: expected at most 1 (cidrLimit)");
}

TEST_CASE("snatTo takes one item a family and way out") {
  const auto range = [](const std::string& text) { return net::parse_range(text).value(); };
  const auto [ipv4, ipv6] =
      parse(
          R"("snatTo": ["2001:db8::7", "203.0.113.8-203.0.113.15", {"address": "203.0.113.7", "interface": "eth1"},
                          {"interface": "eth1", "address": "2001:db8::1-2001:db8::2"}, {"address": "203.0.113.7", "interface": "eth2"}])")
          .snat_to;
  CHECK(ipv4.everywhere == range("203.0.113.8-203.0.113.15"));
  CHECK(ipv6.everywhere == range("2001:db8::7"));
  CHECK(ipv4.by_interface ==
        std::map<std::string, net::Range>{{"eth1", range("203.0.113.7")}, {"eth2", range("203.0.113.7")}});
  CHECK(ipv6.by_interface == std::map<std::string, net::Range>{{"eth1", range("2001:db8::1-2001:db8::2")}});
}

TEST_CASE(
    "of two items of snatTo for one way out the second is refused, and so is a range that is reversed") {
  const auto refused = [](const std::string& text) {
    return test::error_of([&text] { parse(R"("snatTo": [")" + text + "\"]"); });
  };
  CHECK(refused("203.0.113.9-203.0.113.8") ==
        "7: snatTo is \"203.0.113.9-203.0.113.8\": expected a range from its lower to its higher end, "
        "203.0.113.8-203.0.113.9");
  CHECK(
      test::error_of([] {
        parse(R"("snatTo": [{"address": "1.1.1.1", "interface": "eth1"}, "1.1.1.1",
                              {"address": "1.1.1.2", "interface": "eth1"}])");
      }) ==
      R"(7: snatTo is {"address":"1.1.1.2","interface":"eth1"}: expected at most one item of IPv4 for interface eth1)");
}

TEST_CASE("no range of snatTo holds what is no source") {
  const auto refused = [](const std::string& text) {
    return test::error_of([&text] { parse(R"("snatTo": [")" + text + "\"]"); });
  };
  for (const auto* const range : {"126.0.0.1-128.0.0.1", "0.0.0.0-1.1.1.1", "203.0.113.7-224.0.0.1",
                                  "::-2001:db8::", "2001:db8::-ff00::", "203.0.113.7-", "-203.0.113.7",
                                  "203.0.113.7-203.0.113.8-203.0.113.9", "203.0.113.7 - 203.0.113.8"}) {
    CAPTURE(range);
    CHECK(refused(range).find("expected an address such as 203.0.113.7") != std::string::npos);
  }
}

TEST_CASE("interfaces of snatTo are such that both back ends take for one name") {
  for (const auto* const name : {"eth1", "e-x.1@2", "a234567890bcdef", "~#%!"}) {
    CAPTURE(name);
    const auto netconf =
        parse(R"("snatTo": [{"address": "203.0.113.7", "interface": ")" + std::string(name) + "\"}]");
    CHECK(netconf.snat_to.ipv4.by_interface.contains(name));
  }
  for (const auto* const name :
       {"", "a234567890bcdefg", "a/b", "a b", "a\\tb", "a\\u0000b", "\\u007f", "eth+", "a+b", "eth*", ".",
        "..", "a:b", "a\\\"b", "a\\\\b", "a'b", "\\u00e9"}) {
    CAPTURE(name);
    const auto error = test::error_of([&name] {
      parse(R"("snatTo": [{"address": "203.0.113.7", "interface": ")" + std::string(name) + "\"}]");
    });
    CHECK(error.ends_with(
        R"(: expected as interface a name of 1 to 15 ASCII characters without blanks and / : + * " ' \)"));
  }
}

TEST_CASE("pod subnets come from prevResult, each once") {
  const std::vector addresses{test::interface_address("10.244.1.5/24"),
                              test::interface_address("10.244.1.6/24"), test::interface_address("fd00::5/64"),
                              test::interface_address("fe80::5/64"), test::interface_address("127.0.0.1/8")};
  CHECK(subnets("", addresses) == "10.244.1.0/24 fd00::/64 ");
  CHECK(subnets(R"("podSubnets": ["10.244.0.0/16"])", addresses) == "10.244.0.0/16 fd00::/64 ");
  CHECK(subnets("", {test::interface_address("10.1.1.5/32")}) == "10.1.1.5/32 ");
}

TEST_CASE("pod subnets that cannot be meant are refused") {
  CHECK(test::error_of([] { subnets("", {test::interface_address("10.1.1.5/0")}); }) ==
        "7: prevResult.ips holds 10.1.1.5/0: expected the address of a pod with the length of its network");
  CHECK(test::error_of([] { subnets("", {test::interface_address("127.0.0.1/8")}); }) ==
        "7: prevResult.ips has no address that leaves the node: expected at least one");
  CHECK(test::error_of([] {
          subnets(R"("podSubnets": ["10.244.0.0/16"])", {test::interface_address("10.9.1.5/24")});
        }) == "7: podSubnets does not hold the pod's address 10.9.1.5/24: expected a network that does");
}

TEST_CASE("what is recorded of a netconf is what is ours") {
  CHECK(known_keys(
            cni::Json::parse(
                R"({"name":"n","catchAll":false,"prevResult":{},"lockTimeout":"1s","x":1,"catchALL":true})"))
            .dump() == R"({"catchAll":false,"lockTimeout":"1s","catchALL":null})");
}

TEST_CASE("a file laid over a netconf that was read says what both say when they are read at once") {
  constexpr std::array netconfs{
      R"({})",
      R"({"nonMasqueradeCIDRs": ["10.9.0.0/16"], "nonMasqueradeReserved": true, "snatTo": ["203.0.113.1"]})",
      R"({"masqueradeCIDRs": ["10.1.0.0/16"], "cidrLimit": 2, "randomFully": false, "toPorts": "1024-2047"})",
      R"({"nonMasqeradeCIDRs": [], "exemption": "return", "yieldMarks": [], "backend": "nftables"})"};
  constexpr std::array files{
      "{}",
      "nonMasqueradeCIDRs: [10.1.0.0/16]",
      "nonMasqueradeCIDRs: []",
      "masqueradeCIDRs: [fd00::/8]",
      "cidrLimit: 0",
      "nonMasqueradeReserved: true",
      "snatTo: [2001:db8::1]",
      "snatTo: []",
      "toPorts: 70000",
      "catchAll: false\nrandomFully: true\nnonMasqerade: 1\ndropInvalid: false",
      "exemption: hold\nresyncInterval: 5s\nmasqLinkLocal: true\nmasqLinkLocalIPv6: true\nchangedFlows: all",
      "nonMasqueradeCIDRs: [10.1.0.0/16, 10.2.0.0/16, 10.3.0.1/16]\ncatchAll: 1"};
  const auto told = [](const auto& parsed) {
    try {
      const Netconf netconf = parsed();
      auto text = listed(netconf.non_masquerade) + "masqueraded " + listed(netconf.masquerade);
      for (const bool each :
           {netconf.catch_all, netconf.drop_invalid, netconf.masquerade_link_local,
            netconf.masquerade_link_local_ipv6, netconf.random_fully, netconf.exemption == Exemption::hold,
            netconf.changed_flows == ChangedFlows::all, netconf.backend.has_value()})
        text += each ? " yes" : " no";
      for (const auto& to : {netconf.snat_to.ipv4.everywhere, netconf.snat_to.ipv6.everywhere})
        text += " " + (to ? net::to_text(*to) : "");
      for (const auto& ports : netconf.to_ports) text += " " + to_text(ports);
      for (const auto& mark : netconf.yield_marks) text += " " + to_text(mark);
      for (const auto& warning : netconf.warnings) text += "\n" + warning;
      return text + " " + std::to_string(netconf.resync_interval.count());
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  for (const auto* const text : netconfs) {
    const auto json = cni::Json::parse(text);
    for (const auto* const written : files) {
      const auto file = parse_agent_file(written, "F", "node-1");
      CHECK(told([&] { return with_file(parse_netconf(json), json, *file); }) ==
            told([&] { return parse_netconf(json, &*file); }));
    }
  }
}

}  // namespace ipmasq::config
