#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "doctor/flows.hpp"
#include "doctor/forwarding.hpp"
#include "texts.hpp"

namespace ipmasq::doctor {

namespace {

using Address = nat::Match<net::Prefix>;

nat::ForeignRule drop() {
  return {
      .program = "nft", .family = "inet", .table = "theirs", .chain = "base", .handle = 7, .target = "DROP"};
}

nat::ForeignRule from(const std::string& prefix, bool inverted) {
  auto rule = drop();
  rule.source = Address{test::prefix(prefix), inverted};
  return rule;
}

nat::ForeignRule to(const std::string& prefix, bool inverted) {
  auto rule = drop();
  rule.destination = Address{test::prefix(prefix), inverted};
  return rule;
}

// Two pods on a bridge whose way leads to the world.
Facts node(nat::ForeignRule rule) {
  Facts facts;
  facts.node.foreign.chains = {
      {.family = "inet", .table = "theirs", .chain = "base", .hook = nat::Hook::forward, .is_nat = false}};
  facts.node.foreign.rules = {std::move(rule)};
  facts.node.ways = {
      {.pods = {test::prefix("10.244.1.0/24")},
       .pod_interface = "cni0",
       .pod_devices = {"cni0"},
       .uplink = "eth0",
       .uplink_devices = {"eth0"},
       .attached = {{test::address("10.244.1.2"), "cni0"}, {test::address("10.244.1.3"), "cni0"}},
       .leads_to = {test::prefix("0.0.0.0/0")}}};
  return facts;
}

// "*" for all pods.
std::string hurt(const Facts& facts) {
  std::vector<std::string> not_looked;
  std::string text;
  for (const auto& each : forward_drops(facts, not_looked)) {
    if (!each.is_certain) continue;
    const auto alone = each.decides.find(" (");
    text += alone == std::string::npos
                ? "*"
                : each.decides.substr(alone + 2, each.decides.find(" alone") - alone - 2);
  }
  for (const auto& each : not_looked) text += "; " + each;
  return text;
}

// As many pods as there may be, each by an interface of its own.
Facts node_of(int pods, nat::ForeignRule rule) {
  auto facts = node(std::move(rule));
  auto& way = facts.node.ways.front();
  way.pods = {test::prefix("10.244.0.0/16")};
  way.pod_interface.reset();
  way.pod_devices.clear();
  way.attached.clear();
  for (int each = 0; each < pods; ++each) {
    const auto name = "veth" + std::to_string(each);
    way.pod_devices.insert(name);
    way.attached.push_back(
        {test::address("10.244." + std::to_string(each / 250) + "." + std::to_string(each % 250 + 1)), name});
  }
  return facts;
}

}  // namespace

TEST_CASE("what is dropped but for some is dropped of the world") {
  CHECK(hurt(node(to("10.0.0.0/8", true))) == "*");
  CHECK(hurt(node(to("8.0.0.0/8", true))) == "*");
  CHECK(hurt(node(from("10.0.0.0/8", true))) == "*");  // answers
  CHECK(hurt(node(to("8.8.8.0/24", false))).empty());
  CHECK(hurt(node(from("8.8.8.0/24", false))).empty());
  auto nowhere = node(to("10.0.0.0/8", true));
  nowhere.node.ways.front().leads_to.clear();
  CHECK(hurt(nowhere).empty());
  nowhere.node.ways.front().leads_to = {test::prefix("10.9.0.0/16")};
  CHECK(hurt(nowhere).empty());
  nowhere.node.ways.front().leads_to = {test::prefix("172.20.0.0/16")};
  CHECK(hurt(nowhere) == "*");
}

TEST_CASE("what is dropped but of one pod is dropped of the others") {
  auto rule = from("10.244.1.2/32", true);
  rule.in_interface = nat::Match<std::string>{"cni0"};
  CHECK(hurt(node(rule)) == "10.244.1.3/32");
}

TEST_CASE("what is dropped of the only pod hurts, whatever becomes of those that are not there") {
  auto of_it = node(from("10.244.1.2/32", false));
  of_it.node.ways.front().attached.pop_back();
  CHECK(hurt(of_it) == "10.244.1.2/32");
  auto but_of_another = node(from("10.244.1.7/32", true));
  but_of_another.node.foreign.rules.front().in_interface = nat::Match<std::string>{"cni0"};
  CHECK(hurt(but_of_another) == "10.244.1.2/32, 10.244.1.3/32");
  CHECK(hurt(node(from("10.244.1.7/32", false))).empty());
}

TEST_CASE("each pod is asked about that others' rules name by its interface") {
  auto rule = drop();
  rule.in_interface = nat::Match<std::string>{"veth170"};
  CHECK(hurt(node_of(200, rule)) == "10.244.0.171/32");
  rule.in_interface = nat::Match<std::string>{"veth17+"};
  CHECK(hurt(node_of(20, rule)) == "10.244.0.18/32");
  rule.in_interface.reset();
  rule.lookups = {{.set = "pods", .source_at = 0}};
  auto many = node_of(1200, rule);
  many.node.foreign.sets = {{"inet", "theirs", "pods", {}}};
  for (const auto& pod : many.node.ways.front().attached) {
    const std::string key(pod.address.bytes.begin(), pod.address.bytes.begin() + 4);
    many.node.foreign.sets.front().elements.push_back({key, key});
  }
  CHECK(hurt(many).find("tell more pods apart than are asked about (1024)") != std::string::npos);
}

TEST_CASE("a host that no rule names") {
  const auto beside = [](const std::set<net::Prefix>& names, const std::string& network) {
    const auto host = host_beside(names, test::prefix(network));
    return host ? net::to_text(*host) : "";
  };
  CHECK(beside({}, "0.0.0.0/0") == "1.0.0.0");
  CHECK(beside({test::prefix("1.0.0.0/8"), test::prefix("1.2.0.0/16"), test::prefix("2.0.0.0/7")},
               "0.0.0.0/0") == "4.0.0.0");
  CHECK(beside({test::prefix("0.0.0.0/1"), test::prefix("128.0.0.0/1")}, "0.0.0.0/0").empty());
  CHECK(beside({}, "::/0") == "2000::");
  CHECK(beside({}, "10.9.9.9/32") == "10.9.9.9");
  CHECK(beside({test::prefix("10.0.0.0/8")}, "10.9.9.0/24").empty());
  CHECK(beside({test::prefix("10.9.9.0/25")}, "10.9.9.0/24") == "10.9.9.128");
}

}  // namespace ipmasq::doctor
