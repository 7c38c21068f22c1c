#include <doctest/doctest.h>

#include "doctor/findings.hpp"
#include "doctor/start_findings.hpp"
#include "list_facts.hpp"

namespace ipmasq::doctor {

namespace {

std::string said(const std::string& versions, const std::vector<std::string>& programs, bool is_podmans) {
  auto facts = test::facts_with(
      {{.name = "10.conflist",
        .text = "{" + versions + R"(,"name":"n","plugins":[{"type":"bridge"},{"type":"ip-masq"}]})"}});
  facts.node.taking.is_podmans = is_podmans;
  facts.node.bin_folders = {test::folder("/b", programs)};
  facts.node.is_search_known = true;
  Findings findings;
  find_start_findings(facts, findings);
  std::string all;
  for (const auto& finding : findings) {
    all += to_text(finding.weight) + " " + finding.name + ": " + finding.does + "\n";
    for (const auto& fix : finding.fix) all += "  " + fix + "\n";
  }
  return all;
}

}  // namespace

// As podman 4.3.1 does.
TEST_CASE("podman knows no network whose list it cannot have") {
  const std::string good = R"("cniVersion":"1.0.0")";
  const std::string starts_no = "no container of that network starts";
  const std::string missing = "podman loads no list whose programs it does not find: " + starts_no;
  CHECK(said(good, {"bridge", "ip-masq"}, true).empty());
  CHECK(said(good, {"ip-masq"}, true).starts_with("hurts plugin-missing: " + missing + "\n"));
  CHECK(said(good, {"bridge"}, true)
            .starts_with("hurts program-missing: " + missing +
                         ", and nobody is told of the end of those that run\n"));
  CHECK(said(good, {"bridge"}, false).starts_with("hurts program-missing: an ADD fails: no pod starts"));
  const std::string newer =
      "hurts version-of-newer-libcni: podman loads no such list, or no ADD of it works: " + starts_no + "\n";
  CHECK(said(R"("cniVersions":["0.4.0"])", {"bridge", "ip-masq"}, true) ==
        newer +
            "  # write \"cniVersion\": \"0.4.0\" beside \"cniVersions\" there: to a newer libcni it says "
            "nothing\n");
  CHECK(said(R"("cniVersion":"1.1.0")", {"bridge", "ip-masq"}, true) ==
        newer + "  # write \"cniVersion\": \"1.0.0\" there\n");
  CHECK(said(R"("cniVersion":"1.1.0")", {"bridge", "ip-masq"}, false).empty());
  CHECK(said(R"("cniVersion":"1.0.0","cniVersions":["1.1.0"])", {"bridge", "ip-masq"}, true).empty());
}

}  // namespace ipmasq::doctor
