#include <doctest/doctest.h>

#include "doctor/findings.hpp"
#include "doctor/program_findings.hpp"
#include "list_facts.hpp"
#include "texts.hpp"

// Of lists that pods get, or that lead to what they get, beside the one that has our entry.
namespace ipmasq::doctor {

namespace {

using test::facts_with;
using test::folder;
using test::list;

const std::string owners =
    "# have their owners put them there: flannel's own pod brings flannel, the package or the release of "
    "containernetworking's plugins brings bridge, host-local and portmap";

Facts facts_of(std::vector<conflist::File> files, const std::vector<std::string>& programs) {
  auto facts = facts_with(std::move(files));
  facts.node.bin_folders = {folder("/b", programs)};
  facts.node.is_search_known = true;
  return facts;
}

// Of programs alone.
std::string said(const Facts& facts) {
  Findings findings;
  find_program_findings(facts, findings);
  std::string all;
  for (const auto& finding : findings) {
    all += to_text(finding.weight) + " " + finding.name + ": " + finding.does + "\n";
    for (const auto& place : finding.where) all += "  " + place + "\n";
    for (const auto& fix : finding.fix) all += "  " + fix + "\n";
  }
  return all;
}

}  // namespace

TEST_CASE("programs of the lists that containerd takes beside ours") {
  const auto with = [](const std::vector<std::string>& programs, std::size_t most) {
    auto facts = facts_of({{.name = "10.conflist", .text = list("cbr0", "bridge", true)},
                           {.name = "20.conflist", .text = list("storage", "macvlan", false)},
                           {.name = "30.conflist", .text = list("third", "ipvlan", true)}},
                          programs);
    facts.node.taking.lists = {most, "max_conf_num in FILE"};
    return facts;
  };
  const std::string as_well =
      "pods get that list as well, as max_conf_num in FILE says: an ADD fails: no pod starts\n";
  const std::string no_macvlan = "hurts plugin-missing: " + as_well +
                                 "  no program /b/macvlan, which /n/20.conflist asks for\n  " + owners + "\n";
  CHECK(said(with({"bridge", "ip-masq", "macvlan", "ipvlan"}, 9)).empty());
  CHECK(said(with({"bridge", "ip-masq"}, 1)).empty());
  CHECK(said(with({"bridge", "ip-masq"}, 2)) == no_macvlan);
  CHECK(said(with({"bridge", "ip-masq"}, 3)) ==
        no_macvlan + "hurts plugin-missing: " + as_well +
            "  no program /b/ipvlan, which /n/30.conflist asks for\n  " + owners + "\n");
  CHECK(said(with({"bridge", "ip-masq", "-macvlan"}, 2)) ==
        "hurts program-cannot-run: " + as_well +
            "  /b/macvlan is empty, and /n/20.conflist asks for it\n"
            "  # have its owner put it there anew: /b/macvlan\n");
  // What both ask for is told once.
  CHECK(said(with({"bridge", "macvlan", "ipvlan"}, 3)).find("30.conflist") == std::string::npos);

  // Beside folders that are named there may be others.
  auto facts = with({"bridge", "ip-masq"}, 2);
  facts.node.may_search_more = true;
  facts.node.lists[1] = conflist::read_networks(
                            {{.name = "20.conflist",
                              .text = R"({"cniVersion":"1.0.0","name":"storage","plugins":[{"type":"bridge",)"
                                      R"("ipam":{"type":"whereabouts"}}]})"}})
                            .front();
  CHECK(said(facts).starts_with("note plugin-missing: " + as_well.substr(0, as_well.size() - 1) +
                                ", unless the runtime looks for plugins in other folders as well\n"));
  CHECK(test::lines(why_programs_are_not_told(facts)) ==
        "whether the runtime finds whereabouts in another folder: it is not in /b/whereabouts, which "
        "/n/20.conflist asks for; --bin-dir, given once for each folder where the runtime looks, tells\n");
}

TEST_CASE("programs of a list before ours") {
  auto facts = facts_of({{.name = "10.conflist", .text = list("storage", "macvlan", false)},
                         {.name = "20.conflist", .text = list("cbr0", "bridge", true)}},
                        {"bridge", "ip-masq"});
  CHECK(said(facts).empty());  // pods do not get ours
  facts.node.taking.lists = {2, "max_conf_num in FILE"};
  CHECK(said(facts) ==
        "hurts plugin-missing: an ADD fails: no pod starts\n"
        "  no program /b/macvlan, which /n/10.conflist asks for\n  " +
            owners + "\n");
}

TEST_CASE("the program of multus, which leads to our list") {
  const std::string multus =
      R"({"cniVersion":"0.3.1","name":"multus","type":"multus","clusterNetwork":"/n/20.conflist"})";
  const std::string missing =
      "hurts plugin-missing: an ADD fails: no pod starts\n  no program /b/multus, which /n/00.conf asks "
      "for\n  " +
      owners + "\n";
  const auto files = [](const std::string& first) {
    return std::vector<conflist::File>{{.name = "00.conf", .text = first},
                                       {.name = "20.conflist", .text = list("cbr0", "bridge", true)}};
  };
  CHECK(said(facts_of(files(multus), {"bridge", "ip-masq", "multus"})).empty());
  CHECK(said(facts_of(files(multus), {"bridge", "ip-masq"})) == missing);
  const std::string copy = R"({"cniVersion":"0.3.1","name":"multus","type":"multus","delegates":[)" +
                           list("cbr0", "bridge", true) + "]}";
  CHECK(said(facts_of(files(copy), {"bridge", "ip-masq"})) == missing);
  const std::string others = R"({"cniVersion":"0.3.1","name":"multus","type":"multus","delegates":[)" +
                             list("other", "bridge", false) + "]}";
  CHECK(said(facts_of(files(others), {"bridge", "ip-masq"})).empty());
}

}  // namespace ipmasq::doctor
