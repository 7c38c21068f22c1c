#include "doctor/no_network_findings.hpp"

#include <doctest/doctest.h>

#include "list_facts.hpp"

namespace ipmasq::doctor {

namespace {

using test::facts_with;
using test::folder;
using test::list;
using test::text_with_weights;

}  // namespace

TEST_CASE("where no list is loaded") {
  const std::string fix =
      "  fix: # mend the file where it says so; ip-masq install --dry-run tells whether a pod could start "
      "then\n";
  auto facts = facts_with({{.name = "10.conflist", .text = "{"}, {.name = "20.conf", .text = "7"}});
  facts.node.backups = {"10.conflist", "other.conflist"};
  CHECK(text_with_weights(facts) ==
        "hurts no-list-loads\n"
        "  found: /n/10.conflist: it is not JSON: it goes wrong at byte 2\n"
        "  found: /n/20.conf: it is 7: expected an object\n" +
            fix +
            "  fix: # what it was before ip-masq install stands in "
            "/n/10.conflist.before-ip-masq\n");
  CHECK(text_with_weights(facts_with({})).empty());
  CHECK(text_with_weights(facts_with({{.name = "10.conflist", .text = "{"},
                                      {.name = "20.conflist", .trouble = "it is larger than 1 MiB"}}))
            .empty());
  CHECK(text_with_weights(facts_with({{.name = "10.conflist", .is_folder = true}})).empty());
}

TEST_CASE("where the lists are gone") {
  auto facts = facts_with({});
  facts.node.conf_dir_said_by = SaidBy::runtime;
  facts.node.are_lists_read = true;
  const std::string gone =
      "hurts no-list-loads\n"
      "  found: no list is in /n\n";
  const std::string fix =
      "  fix: # have its owner bring the list anew, as flannel's pod does when it starts; then see whether "
      "doctor misses the entry\n";
  const std::string not_told = "for the list that pods get: there is none in /n";
  const auto said = [&facts] { return text_with_weights(facts) + why_lists_are_not_told(facts); };
  CHECK(said() == not_told);
  facts.node.bin_folders = {folder("/a", {"ip-masq"}), folder("/b", {"flannel"})};
  CHECK(said() == gone + "  found: /a/ip-masq is there, and no list asks for it\n" + fix);
  facts.node.bin_folders.front().has_anothers = true;
  CHECK(said() == not_told);
  facts.node.bin_folders.clear();
  facts.ours.networks = {{.name = "cbr0", .backend = "nftables", .pod_subnets = {}}};
  CHECK(said() == gone + "  found: the network \"cbr0\" is recorded\n" + fix);
  facts.node.conf_dir_said_by = SaidBy::its_user;  // who may have named another
  CHECK(said() == not_told);
  facts.node.conf_dir_said_by = SaidBy::runtime;
  facts.ours.networks.clear();
  facts.node.backups = {"10.conflist"};
  const auto of_backup =
      gone +
      "  found: /n/10.conflist.before-ip-masq is of ip-masq install: the list that it was made beside is "
      "gone\n" +
      fix + "  fix: # what it was before ip-masq install stands in /n/10.conflist.before-ip-masq\n";
  CHECK(said() == of_backup);
  facts.node.conf_dir_said_by = SaidBy::its_user;
  CHECK(said() == of_backup);
  facts.node.lists = conflist::read_networks({{.name = "10.conflist", .is_folder = true}});
  CHECK(said() == of_backup);
  facts.node.lists.clear();
  // podman has a network of its own; what was named may be no folder of the runtime's; nobody may have said
  // that this one is.
  facts.node.taking.is_podmans = true;
  CHECK(said() == not_told);
  facts.node.taking.is_podmans = false;
  facts.node.elsewhere = {"--conf-dir is /n; k3s: networks in /k"};
  CHECK(why_lists_are_not_told(facts) == not_told);
  CHECK(text_with_weights(facts).starts_with(
      "note other-folders\n  found: --conf-dir is /n; k3s: networks in /k\n"));
  facts.node.elsewhere.clear();
  facts.node.conf_dir_said_by = SaidBy::nobody;
  CHECK(said() ==
        "for the list that pods get: no runtime's configuration is found, and there is none in /n; "
        "--conf-dir DIR or --flavour say where it is");
  facts.node.conf_dir_said_by = SaidBy::runtime;
  facts.node.are_lists_read = false;  // which is told
  CHECK(said().empty());
}

TEST_CASE("where no runtime is found, and the lists are nobody's that ip-masq knows") {
  const auto said = [](const std::vector<conflist::File>& files) {
    auto facts = facts_with(files);
    facts.node.are_lists_read = true;
    facts.ours.networks = {{.name = "recorded", .backend = "nftables", .pod_subnets = {}}};
    return why_lists_are_not_told(facts);
  };
  const std::string not_told =
      "for the list that pods get: no runtime's configuration is found, and of those in /n none is "
      "flannel's, or of a network of ip-masq; --conf-dir DIR or --flavour say where it is";
  const conflist::File podmans{.name = "87.conflist", .text = list("podman", "bridge", false)};
  CHECK(said({podmans}) == not_told);
  CHECK(said({{.name = "200.conf", .text = R"({"cniVersion":"0.3.1","name":"lo","type":"loopback"})"}}) ==
        not_told);
  CHECK(said({podmans, {.name = "10.conflist", .text = "{"}}) == not_told);
  CHECK(
      said({{.name = "10.conflist", .is_folder = true}}) ==
      "for the list that pods get: no runtime's configuration is found, and there is none in /n; --conf-dir "
      "DIR or --flavour say where it is");
  CHECK(said({podmans, {.name = "90.conflist", .text = list("cbr0", "flannel", false)}}).empty());
  CHECK(said({podmans, {.name = "90.conflist", .text = list("x", "bridge", true)}}).empty());
  CHECK(said({podmans, {.name = "90.conflist", .text = list("recorded", "bridge", false)}}).empty());
  CHECK(said({{.name = "10.conflist", .text = "{"}}).empty());  // no-list-loads
  const auto delegate = list("cbr0", "flannel", false);
  CHECK(
      said({{.name = "00.conf",
             .text = R"({"cniVersion":"0.3.1","name":"m","type":"multus","delegates":[)" + delegate + "]}"}})
          .empty());
}

TEST_CASE("where the list that had our entry is gone, and pods get another") {
  auto facts = facts_with({{.name = "200.conf", .text = R"({"name":"lo","type":"loopback"})"}});
  facts.node.backups = {"10.conflist"};
  CHECK(text_with_weights(facts).empty());  // nobody says that pods' runtime reads this folder
  facts.node.conf_dir_said_by = SaidBy::runtime;
  const auto missing = [](const std::string& file, const std::string& backup) {
    return "hurts entry-missing\n"
           "  found: /n/" +
           file +
           " is what the runtime loads, and has no entry of ip-masq\n"
           "  found: /n/" +
           backup + ".before-ip-masq is of ip-masq install: its list is gone\n";
  };
  const std::string install =
      " --bin-dir DIR: DIR is where the runtime looks for plugins, which is not known here\n";
  CHECK(text_with_weights(facts) ==
        missing("200.conf", "10.conflist") +
            "  fix: # have its owner bring /n/10.conflist anew, as flannel's pod does when it "
            "starts\n"
            "  fix: # or, where this list is meant: ip-masq install --conf-dir /n --after loopback" +
            install);
  facts.node.bin_folders = {folder("/b", {"loopback"})};
  CHECK(
      text_with_weights(facts) ==
      missing("200.conf", "10.conflist") +
          "  fix: # have its owner bring /n/10.conflist anew, as flannel's pod does when it "
          "starts\n"
          "  fix: # or, where this list is meant: mend /n/200.conf first: it has no \"cniVersion\": ip-masq "
          "speaks 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0; then: ip-masq install --conf-dir /n --after "
          "loopback --bin-dir /b\n");
  facts.node.put_aside = {"10.conflist"};
  CHECK(text_with_weights(facts).empty());
  facts.node.put_aside.clear();
  facts.node.lists =
      conflist::read_networks({{.name = "05.conflist", .text = list("cbr0", "flannel", false)}});
  CHECK(text_with_weights(facts) ==
        missing("05.conflist", "10.conflist") + "  fix: # ip-masq install --conf-dir /n" + install);
  // The list that was made of a single plugin stands instead of it.
  facts.node.backups = {"05.conf"};
  CHECK(text_with_weights(facts).starts_with("note entry-missing"));
}

}  // namespace ipmasq::doctor
