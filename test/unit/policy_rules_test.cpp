// Rules of pods that have policies, in either back end.
#include <doctest/doctest.h>

#include <string>

#include "iptables_memory_table.hpp"
#include "nat/explain.hpp"
#include "nat/iptables_standing.hpp"
#include "nat/network.hpp"
#include "nat/nftables_drops.hpp"
#include "nat/nftables_standing.hpp"
#include "networks.hpp"
#include "nftables_memory_table.hpp"

namespace ipmasq::nat {

namespace {

constexpr auto keys =
    R"("nonMasqueradeCIDRs": ["10.0.0.0/8"], "policies": [
         {"name": "partner", "namespaces": ["*"], "nonMasqueradeCIDRs": ["10.20.0.0/16"], "snatTo": ["203.0.113.7"]},
         {"name": "other", "namespaces": ["*"], "catchAll": false}])";

Network network(const std::map<std::string, std::string>& policies, bool is_known = true) {
  auto network = test::network("n", keys, {"10.1.0.0/24"});
  for (const auto& [address, policy] : policies) {
    network.pod_subnets.insert(test::prefix(address + "/32"));
    if (is_known) network.policies[test::prefix(address + "/32")] = policy;
  }
  return network;
}

// Of a call that knows all of the network.
Ruleset whole(const std::map<std::string, std::string>& policies) {
  auto ruleset = wanted_ruleset({network(policies)});
  ruleset.has_all_marks = true;
  return ruleset;
}

// Of one that knows some.
Ruleset some(const std::map<std::string, std::string>& policies, bool is_known = true) {
  auto part = network(policies, is_known);
  part.has_more = true;
  auto ruleset = wanted_ruleset({part});
  ruleset.has_all_sources = false;
  return ruleset;
}

std::string leading(const std::vector<Source>& sources) {
  std::string text;
  for (const auto& each : sources)
    text += (text.empty() ? "" : ", ") + net::to_text(each.prefix.address) + " " + to_text(each.owner());
  return text;
}

struct Both {
  test::IptablesTable iptables;
  test::NftablesTable nftables;

  void bring_to(const Ruleset& ruleset) {
    iptables.bring_to(ruleset);
    nftables.apply(ruleset);
  }
  // Which both have to have alike.
  std::string sources() {
    auto found = iptables::sources(iptables.observe(), net::Family::ipv4);
    std::vector<Source> others;
    for (const auto& lead : nftables::leads_of(nftables.table)) others.push_back(lead.source);
    std::ranges::sort(others, [](const auto& left, const auto& right) { return comes_first(left, right); });
    CHECK(leading(found) == leading(others));
    return leading(found);
  }
  std::string fate(const std::string& source, const std::string& destination) {
    const auto of_iptables =
        iptables::standing(iptables.observe(), test::address(source), test::address(destination));
    const auto of_nftables =
        nftables::standing(nftables.table, test::address(source), test::address(destination));
    REQUIRE(of_iptables.has_value());
    REQUIRE(of_nftables.has_value());
    CHECK(of_iptables->fate == of_nftables->fate);
    return to_text(of_iptables->fate);
  }
};

}  // namespace

TEST_CASE("a pod with a policy leads to the policy's chain by its own address") {
  Both both;
  both.bring_to(whole({{"10.1.0.5", "partner"}}));
  CHECK(both.sources() == "10.1.0.5 n/partner, 10.1.0.0 n");
  CHECK(both.fate("10.1.0.5", "10.20.0.1") == "kept");
  CHECK(both.fate("10.1.0.5", "10.30.0.1") == "masqueraded");
  CHECK(both.fate("10.1.0.6", "10.30.0.1") == "kept");
  // The pods of one network see one another, whatever a policy says.
  CHECK(both.fate("10.1.0.5", "10.1.0.6") == "kept");

  const auto chain = iptables::chain_name(Owner{"n", "partner"});
  CHECK(chain != iptables::chain_name("n"));
  CHECK(both.iptables.text().find(
            "-A IP-MASQ-PODS -s 10.1.0.5/32 -d 10.1.0.0/24 -m conntrack --ctstate DNAT -m comment --comment "
            "\"ip-masq: "
            "hairpin\" -j RETURN\n"
            "-A IP-MASQ-PODS -s 10.1.0.5/32 -d 10.1.0.0/24 -m conntrack ! --ctorigdst 10.1.0.0/24 -m comment "
            "--comment "
            "\"ip-masq: hairpin\" -j RETURN\n"
            "-A IP-MASQ-PODS -s 10.1.0.5/32 -m comment --comment \"ip-masq: n/partner\" -g " +
            chain + "\n-A IP-MASQ-PODS -s 10.1.0.0/24") != std::string::npos);
  CHECK(both.iptables.text().find("-A " + chain + " -j SNAT --to-source 203.0.113.7 --random-fully\n") !=
        std::string::npos);
  const auto name = nftables::chain_name(Owner{"n", "partner"}, net::Family::ipv4);
  CHECK(name.starts_with("n/partner-"));
  CHECK(both.nftables.text().find("set pods\n  10.1.0.5 : goto " + name + "\n") != std::string::npos);
  CHECK(both.nftables.text().find("ip daddr @" + nftables::kept_set(name) + " counter drop") ==
        std::string::npos);
  CHECK(both.nftables.text().find("  10.1.0.5 : goto " +
                                  nftables::drop_chain_name(Owner{"n", "partner"}, net::Family::ipv4)) !=
        std::string::npos);
}

TEST_CASE("a chain's name tells network and policy") {
  for (const Owner& owner :
       {Owner{"n"}, Owner{"7th", "p-1.x_y"}, Owner{std::string(200, 'n'), std::string(26, 'p')}}) {
    for (const auto family : {net::Family::ipv4, net::Family::ipv6}) {
      const auto name = nftables::chain_name(owner, family);
      CHECK(nftables::owner_of_chain(name) == owner);
      CHECK(nftables::whose_drop_chain(nftables::drop_chain_name(owner, family)) == std::pair(owner, family));
      CHECK(nftables::masqueraded_set(name).size() <= 255);
    }
    CHECK(parse_owner(to_text(owner)) == owner);
  }
}

TEST_CASE("a call that knows some pods alone leaves those of other policies as they are") {
  Both both;
  both.bring_to(whole({{"10.1.0.5", "partner"}}));
  both.bring_to(some({{"10.1.0.6", "other"}}));
  CHECK(both.sources() == "10.1.0.5 n/partner, 10.1.0.6 n/other, 10.1.0.0 n");
  CHECK(both.fate("10.1.0.6", "198.51.100.1") == "left alone");
  const auto text = both.nftables.text() + both.iptables.text();
  both.bring_to(whole({{"10.1.0.5", "partner"}, {"10.1.0.6", "other"}}));
  CHECK(both.nftables.text() + both.iptables.text() == text);

  SUBCASE("a pod that goes") {
    auto ruleset = some({});
    ruleset.gone.insert({test::prefix("10.1.0.6/32"), "n"});
    both.bring_to(ruleset);
    CHECK(both.sources() == "10.1.0.5 n/partner, 10.1.0.0 n");
    CHECK_FALSE(both.iptables.chains.contains(iptables::chain_name(Owner{"n", "other"})));
  }
  SUBCASE("a pod whose policy is another one now") {
    both.bring_to(some({{"10.1.0.6", "partner"}}));
    CHECK(both.sources() == "10.1.0.5 n/partner, 10.1.0.6 n/partner, 10.1.0.0 n");
  }
  SUBCASE("a pod that has none any more") {
    both.bring_to(whole({{"10.1.0.5", ""}}));
    CHECK(both.sources() == "10.1.0.5 n, 10.1.0.0 n");
    CHECK(both.fate("10.1.0.5", "10.30.0.1") == "kept");
  }
  SUBCASE("a pod of whose policy nothing is known") {
    both.bring_to(some({{"10.1.0.6", ""}, {"10.1.0.7", ""}}, false));
    CHECK(both.sources() == "10.1.0.5 n/partner, 10.1.0.6 n/other, 10.1.0.7 n, 10.1.0.0 n");
  }
  SUBCASE("a call of another network") {
    auto ruleset = wanted_ruleset({test::network("m", "", {"10.2.0.0/24"})});
    ruleset.has_all_sources = false;
    both.bring_to(ruleset);
    CHECK(both.sources() == "10.1.0.5 n/partner, 10.1.0.6 n/other, 10.1.0.0 n, 10.2.0.0 m");
  }
  SUBCASE("the network goes") {
    both.bring_to({.networks = {"n"}});
    CHECK(both.sources().empty());
    CHECK_FALSE(both.nftables.table.exists);
  }
}

TEST_CASE("explain tells the key of the policy") {
  const auto ruleset = whole({{"10.1.0.5", "partner"}, {"10.1.0.6", "other"}});
  const auto asked = [&](const std::string& source, const std::string& destination) {
    const auto found = explain(ruleset, test::address(source), test::address(destination));
    return to_text(found.fate) + " by " + found.why + ", " + told(found.source->owner());
  };
  CHECK(asked("10.1.0.5", "10.20.0.1") ==
        "kept by nonMasqueradeCIDRs of policy partner, network n (policy partner)");
  CHECK(asked("10.1.0.5", "198.51.100.1") == "masqueraded by catchAll, network n (policy partner)");
  CHECK(asked("10.1.0.6", "198.51.100.1") ==
        "left alone by catchAll of policy other, network n (policy other)");
  CHECK(asked("10.1.0.7", "198.51.100.1") == "masqueraded by catchAll, network n");
}

}  // namespace ipmasq::nat
