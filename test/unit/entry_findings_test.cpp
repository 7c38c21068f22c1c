#include <doctest/doctest.h>

#include "conflist/entry.hpp"
#include "doctor/findings.hpp"
#include "doctor/multus_findings.hpp"
#include "finding_texts.hpp"
#include "texts.hpp"

namespace ipmasq::doctor {

namespace {

using test::text;
using test::with_plugins;

constexpr auto with_entry =
    R"({"name":"cbr0","cniVersion":"1.0.0","plugins":[{"type":"flannel","delegate":{"ipMasq":false}},{"type":"ip-masq"}]})";
constexpr auto without_entry =
    R"({"name":"cbr0","cniVersion":"1.0.0","plugins":[{"type":"flannel","delegate":{"ipMasq":false}}]})";

// Behind a file of multus with these keys.
Facts behind_multus(const std::string& keys, const std::string& flannels) {
  Facts facts;
  facts.node.conf_dir = "/etc/cni/net.d";
  facts.node.bin_folders = with_plugins;
  facts.node.bin_folders.front().programs.insert({{"multus", ""}, {"multus-shim", ""}});
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

TEST_CASE("what keeps a list from being written comes off first") {
  const auto fix = [](os::Obstacle::Kind kind, const std::string& of) {
    Facts facts;
    facts.node.conf_dir = "/n";
    facts.node.bin_folders = with_plugins;
    auto file = conflist::File{.name = "10 flannel.conflist", .text = without_entry};
    file.obstacle = os::Obstacle{kind, of};
    facts.node.lists = conflist::read_networks({file});
    for (const auto& finding : examine(facts)) {
      if (finding.name == "entry-missing") return finding.fix.front();
    }
    return std::string();
  };
  using Kind = os::Obstacle::Kind;
  CHECK(fix(Kind::immutable, "/n/10 flannel.conflist") ==
        "chattr -i '/n/10 flannel.conflist' && ip-masq install --conf-dir /n --bin-dir /opt/cni/bin");
  CHECK(fix(Kind::append_only, "/n") ==
        "chattr -a /n && ip-masq install --conf-dir /n --bin-dir /opt/cni/bin");
  CHECK(
      fix(Kind::sticky, "/n").starts_with("# nobody can write another /n/10 flannel.conflist: /n is sticky"));
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

TEST_CASE("multus asks the API server for a network before it looks in the folder") {
  const auto said = [](const std::string& to, const std::string& list) {
    return why_multus_is_not_told(
        behind_multus(R"("type":"multus-shim","clusterNetwork":")" + to + '"', list));
  };
  const std::string told =
      ", as /etc/cni/net.d/00-multus.conf says, from the API server, which is not asked here, before it "
      "looks "
      "in the folder; \"kubectl get network-attachment-definitions -A\" tells whether it has one";
  for (const std::string name : {"cbr0", "other"})
    CHECK(said(name, with_entry) ==
          "for the list that pods get: multus takes the network \"" + name + '"' + told);
  CHECK(said("/etc/cni/net.d/10-flannel.conflist", with_entry).empty());
  CHECK(said("cbr0", without_entry).empty());  // nothing of it is ours
  CHECK(why_multus_is_not_told(behind_multus(R"("type":"multus-shim")", with_entry)).empty());
}

TEST_CASE("an entry that asks for no annotations, where pods may ask for a policy") {
  const auto said = [](const std::string& entry) {
    Facts facts;
    facts.node.conf_dir = "/etc/cni/net.d";
    facts.node.bin_folders = with_plugins;
    facts.node.lists = conflist::read_networks(
        {{.name = "10-bridge.conflist",
          .text = R"({"name":"cbr0","cniVersion":"1.0.0","plugins":[{"type":"bridge"},)" + entry + "]}"}});
    facts.ours.asked_for_policies = {{"cbr0", "partner", {"a", "b-*", "c", "d"}}, {"other", "x", {"*"}}};
    return text(facts);
  };
  const std::string found =
      "annotations-not-asked-for\n"
      "  found: /etc/cni/net.d/10-bridge.conflist asks for none, and policy partner has annotated: a, b-*, "
      "c, ...\n"
      "  fix: # write \"capabilities\": {\"io.kubernetes.cri.pod-annotations\": true} into the entry of "
      "ip-masq: pods that start from then on can ask\n";
  CHECK(said(R"({"type":"ip-masq"})") == found);
  CHECK(said(R"({"type":"ip-masq","capabilities":{"portMappings":true}})") == found);
  CHECK(said(R"({"type":"ip-masq","capabilities":{"io.kubernetes.cri.pod-annotations":false}})") == found);
  CHECK(said(conflist::plain_entry).empty());
  CHECK(said(R"({"type":"ip-masq",)" + std::string(conflist::declared_capabilities) + "}").empty());
  CHECK(said(R"({"type":"ip-masq","Capabilities":{"io.kubernetes.cri.pod-annotations":true}})").empty());
}

TEST_CASE("a list that install would refuse is to be mended first") {
  const auto fix = [](const std::string& list) {
    Facts facts;
    facts.node.conf_dir = "/etc/cni/net.d";
    facts.node.bin_folders = with_plugins;
    facts.node.lists = conflist::read_networks({{.name = "10-flannel.conflist", .text = list}});
    for (const auto& finding : examine(facts)) {
      if (finding.name == "entry-missing") return finding.fix.front();
    }
    return std::string();
  };
  const auto with_version = [](const std::string& version) {
    return "{" + version + R"("name":"cbr0","plugins":[{"type":"flannel"}]})";
  };
  const std::string command = "ip-masq install --conf-dir /etc/cni/net.d --bin-dir /opt/cni/bin";
  const std::string speaks = ": ip-masq speaks 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0; then: " + command;
  const std::string first = "# mend /etc/cni/net.d/10-flannel.conflist first: ";
  CHECK(fix(with_version(R"("cniVersion":"0.3.1",)")) == command);
  CHECK(fix(with_version("")) == first + "it has no \"cniVersion\"" + speaks);
  CHECK(fix(with_version(R"("cniVersion":"0.2.0",)")) == first + "\"cniVersion\" is \"0.2.0\"" + speaks);
  CHECK(fix(R"({"cniVersion":"1.0.0","name":"c/0","plugins":[{"type":"flannel"}]})")
            .starts_with(first + "\"name\" is \"c/0\": expected "));
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

}  // namespace ipmasq::doctor
