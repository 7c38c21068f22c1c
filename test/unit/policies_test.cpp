#include "config/policies.hpp"

#include <doctest/doctest.h>

#include <string>

#include "config/netconf.hpp"
#include "texts.hpp"

namespace ipmasq::config {

namespace {

Netconf parse(const std::string& policies, const std::string& keys = "") {
  return parse_netconf(cni::Json::parse(R"({"policies": [)" + policies + "]" + keys + "}"));
}

std::string refused(const std::string& policies, const std::string& keys = "") {
  return test::error_of([&] { parse(policies, keys); });
}

std::string listed(const std::vector<ListedPrefix>& list) {
  std::string text;
  for (const auto& [prefix, origin] : list) text += net::to_text(prefix) + " " + origin.text() + "\n";
  return text;
}

Netconf of_file(const std::string& text, const std::string& netconf = "{}") {
  const auto file = parse_agent_file(text, "F", "n");
  check_values(*file);
  const auto json = cni::Json::parse(netconf);
  return with_file(parse_netconf(json), json, *file);
}

// "NAME (BY)", "the network's own keys", with why another one was refused.
std::string choice(const std::vector<Policy>& policies, const std::string& space, const std::string& asked) {
  const auto chosen = choose_policy(policies, space, asked);
  return (chosen.policy == nullptr ? "the network's own keys"
                                   : chosen.policy->name + " (" + chosen.by + ")") +
         (chosen.refused.empty() ? "" : "; " + chosen.refused);
}

}  // namespace

TEST_CASE("a policy has the network's keys where it says nothing") {
  const auto netconf = parse(
      R"({"name": "partner", "namespaces": ["payments", "team-*"], "annotated": ["batch-?"],
          "nonMasqueradeCIDRs": ["10.20.0.0/16"], "catchAll": false, "snatTo": ["203.0.113.7"]},
         {"name": "plain", "namespaces": []})",
      R"(, "masqueradeCIDRs": ["10.1.0.0/16"], "toPorts": "2000-3000", "exemption": "return", "dropInvalid": false)");
  REQUIRE(netconf.policies.size() == 2);
  const auto& partner = netconf.policies.front();
  CHECK(partner.namespaces == std::vector<std::string>{"payments", "team-*"});
  CHECK(partner.annotated == std::vector<std::string>{"batch-?"});
  CHECK(listed(partner.keys.non_masquerade) ==
        "10.20.0.0/16 nonMasqueradeCIDRs of policy partner\nfc00::/7 nonMasqueradeCIDRs (default)\n");
  CHECK(listed(partner.keys.masquerade) == "10.1.0.0/16 masqueradeCIDRs\n");
  CHECK_FALSE(partner.keys.catch_all);
  CHECK(partner.keys.catch_all_by.text() == "catchAll of policy partner");
  CHECK(partner.keys.snat_to.ipv4.everywhere.has_value());
  CHECK(partner.keys.to_ports.size() == 1);
  CHECK(partner.keys.exemption == Exemption::return_);
  CHECK_FALSE(partner.keys.drop_invalid);
  const auto& plain = netconf.policies.back();
  CHECK(plain.keys.catch_all);
  CHECK(plain.keys.catch_all_by.text() == "catchAll");
  CHECK(listed(plain.keys.non_masquerade) == listed(netconf.non_masquerade));
}

TEST_CASE("what is wrong with a policy is told with policy, key, value and what was expected") {
  CHECK(
      refused(R"("partner")") ==
      R"(7: policies is "partner": expected policies such as {"name": "partner", "namespaces": ["payments"]})");
  CHECK(refused(R"({"namespaces": []})")
            .starts_with(R"(7: policies is {"namespaces":[]}: expected a name in each)"));
  for (const auto* const name : {R"("")", R"("a b")", R"("a/b")", R"("-a")", "7", R"("\u001b[2J")",
                                 R"("abcdefghijklmnopqrstuvwxyz0")"}) {
    CAPTURE(name);
    const std::string quotes = name == std::string_view("7")
                                   ? R"(; in quotes what YAML takes for something else: "y", "on", "7")"
                                   : "";
    CHECK(refused(R"({"name": )" + std::string(name) + R"(, "namespaces": []})")
              .ends_with("expected as name a letter or digit, then letters, digits, '_', '.' or '-', at most "
                         "26 bytes" +
                         quotes));
  }
  CHECK(refused(R"({"name": "a", "namespaces": []}, {"name": "a", "namespaces": ["x"]})") ==
        "7: policies has two of the name a: expected a name of its own for each");
  CHECK(refused(R"({"name": "a"})").starts_with("7: policy a: neither namespaces nor annotated is there"));
  for (const auto* const glob : {R"("")", R"("A")", R"("a b")", R"("[ab]")", R"("\n")"}) {
    CAPTURE(glob);
    CHECK(refused(R"({"name": "a", "namespaces": [)" + std::string(glob) + "]}")
              .starts_with("7: policy a: namespaces is " + std::string(glob) +
                           ": expected namespaces such as"));
  }
  CHECK(refused(R"({"name": "a", "annotated": "x"})")
            .starts_with(R"(7: policy a: annotated is "x": expected a list of namespaces)"));
  CHECK(
      refused(R"({"name": "a", "namespaces": [], "stateDir": "/run/x"})") ==
      R"(7: policy a: stateDir is "/run/x": expected a key that a policy can have: name, namespaces, annotated, nonMasqueradeCIDRs, masqueradeCIDRs, catchAll, nonMasqueradeReserved, masqLinkLocal, masqLinkLocalIPv6, cidrLimit, randomFully, toPorts, snatTo, exemption, dropInvalid)");
  CHECK(refused(R"({"name": "a", "namespaces": [], "x\n": 1})")
            .starts_with(R"(7: policy a: "x\n" is 1: expected a key)"));
  CHECK(refused(R"({"name": "a", "namespaces": [], "nonMasqueradeCIDRs": ["10.1.0.0/8"]})") ==
        R"(7: policy a: nonMasqueradeCIDRs is "10.1.0.0/8": expected an aligned network, 10.0.0.0/8)");
  CHECK(
      refused(R"({"name": "a", "namespaces": [], "masqueradeCIDRs": ["10.0.0.0/8"]})") ==
      R"(7: policy a: masqueradeCIDRs is "10.0.0.0/8": expected a network that nonMasqueradeCIDRs does not list too)");
  CHECK(refused(R"({"name": "a", "namespaces": [], "nonMasqueradeCIDRs": ["10.0.0.0/8", "11.0.0.0/8"]})",
                R"(, "cidrLimit": 1)") ==
        "7: policy a: nonMasqueradeCIDRs and masqueradeCIDRs have 2 entries: expected at most 1 (cidrLimit)");
  CHECK(refused(R"({"name": "a", "namespaces": [], "toPorts": null})")
            .starts_with("7: policy a: toPorts is null: expected ports"));
  std::string many;
  for (int number = 0; number < 257; ++number)
    many += (many.empty() ? "" : ",") + std::string(R"({"namespaces": [], "name": "p)") +
            std::to_string(number) + "\"}";
  CHECK(refused(many) == "7: policies has 257 items: expected at most 256");
}

TEST_CASE("the lists of all policies are bounded, also those that they have of their network") {
  const auto list = [](unsigned size) {
    std::string text;
    for (unsigned each = 0; each < size; ++each) {
      text += (text.empty() ? "\"" : ", \"") + std::string("10.") + std::to_string(each >> 8U) + "." +
              std::to_string(each & 255U) + ".0/24\"";
    }
    return R"("cidrLimit": 10000, "nonMasqueradeCIDRs": [)" + text + "]";
  };
  const auto policies = [](unsigned number, const std::string& keys) {
    std::string text;
    for (unsigned each = 0; each < number; ++each) {
      text += (text.empty() ? "" : ", ") + std::string(R"({"name": "p)") + std::to_string(each) +
              R"(", "namespaces": ["x"])" + keys + "}";
    }
    return text;
  };
  const auto network = ", " + list(10000);
  const auto* const told =
      "7: the lists of policies have more than 100000 networks in all, each with those of the network's that "
      "it "
      "has: "
      "expected fewer";
  CHECK(parse(policies(9, ""), network).policies.size() == 9);
  CHECK(refused(policies(11, ""), network) == told);
  CHECK(refused(policies(11, ", " + list(10000))) == told);
  CHECK(parse(policies(100, R"(, "nonMasqueradeCIDRs": [])"), network).policies.size() == 100);
}

TEST_CASE("policies of the file stand instead of the netconf's, with file and line") {
  const auto netconf = of_file(
      "policies:\n- Name: partner\n  NAMESPACES: [payments]\n  nonmasqueradecidrs:\n  - 10.20.0.0/16\n",
      R"({"policies": [{"name": "other", "namespaces": ["*"]}], "masqueradeCIDRs": ["10.20.1.0/24"]})");
  REQUIRE(netconf.policies.size() == 1);
  CHECK(listed(netconf.policies.front().keys.non_masquerade) ==
        "10.20.0.0/16 nonMasqueradeCIDRs of policy partner in F\nfc00::/7 nonMasqueradeCIDRs (default)\n");
  CHECK(listed(netconf.policies.front().keys.masquerade) == "10.20.1.0/24 masqueradeCIDRs\n");

  const auto below = of_file("catchAll: false\n", R"({"policies": [{"name": "a", "namespaces": ["*"]}]})");
  REQUIRE(below.policies.size() == 1);
  CHECK_FALSE(below.policies.front().keys.catch_all);

  const auto wrong = [](const std::string& text) { return test::error_of([&] { of_file(text); }); };
  CHECK(
      wrong("policies:\n- name: a\n  namespaces: [x]\n  nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - "
            "10.1.0.0/8\n") ==
      R"(7: F, line 6: policy a: nonMasqueradeCIDRs is "10.1.0.0/8": expected an aligned network, 10.0.0.0/8)");
  CHECK(wrong("policies:\n- name: a\n  namespaces: [x]\n  catchAll: 1\n") ==
        "7: F, line 4: policy a: catchAll is 1: expected true or false");
  CHECK(wrong("policies:\n- name: a\n  namespaces: [x]\n  Name: b\n")
            .starts_with(R"(7: F, line 4: key "Name" stands here again)"));
  CHECK(wrong("policies: a\n").starts_with(R"(7: F, line 1: policies is "a": expected a list of policies)"));
}

TEST_CASE("sections of nodes have policies of their own") {
  const std::string text =
      "policies: [{name: a, namespaces: [x]}]\n"
      "nodes:\n- match: gpu-*\n  policies:\n  - name: b\n    namespaces: [z]\n";
  CHECK(cni::to_text(parse_agent_file(text, "F", "n")->keys.at("policies")) ==
        R"([{"name":"a","namespaces":["x"]}])");
  CHECK(cni::to_text(parse_agent_file(text, "F", "gpu-1")->keys.at("policies")) ==
        R"([{"name":"b","namespaces":["z"]}])");
  CHECK(test::error_of([] {
          parse_agent_file("nodes:\n- match: gpu-*\n  policies:\n  - name: b\n    namespaces: [Z]\n", "F",
                           "n");
        }).starts_with(R"(7: F, line 5: policy b: namespaces is "Z": expected)"));
}

TEST_CASE("policies that lost their items are a slip") {
  const auto file = parse_agent_file("policies:\n", "F", "n");
  CHECK(file->keys.at("policies") == cni::Json::array());
  CHECK(file->slips ==
        std::vector<std::string>{"F, line 1: policies has no items: write policies: [] for none"});
}

TEST_CASE("which policy a pod has") {
  const auto policies = parse(
                            R"({"name": "own", "namespaces": ["payments"], "annotated": ["batch-*"]},
                               {"name": "team", "namespaces": ["team-*"]},
                               {"name": "late", "namespaces": ["team-a", "payments"]})")
                            .policies;
  CHECK(choice(policies, "payments", "") == "own (namespaces: payments)");
  CHECK(choice(policies, "team-a", "") == "team (namespaces: team-*)");
  CHECK(choice(policies, "team-a", "late") == "late (asked for)");
  CHECK(choice(policies, "batch-1", "") == "the network's own keys");
  CHECK(choice(policies, "batch-1", "own") == "own (asked for)");
  CHECK(choice(policies, "team-a", "own") ==
        "team (namespaces: team-*); neither annotated nor namespaces of policy own holds namespace team-a");
  CHECK(choice(policies, "payments", "none") == R"(own (namespaces: payments); there is no policy "none")");
  CHECK(choice(policies, "", "own") == "the network's own keys; its runtime did not say its namespace");
  CHECK(choice(policies, "other", "\x1b[2J") == R"(the network's own keys; there is no policy "\u001b[2J")");
  CHECK(choice({}, "payments", "") == "the network's own keys");
}

}  // namespace ipmasq::config
