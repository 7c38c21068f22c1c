#include <doctest/doctest.h>

#include "doctor/findings.hpp"
#include "doctor/no_network_findings.hpp"
#include "texts.hpp"

namespace ipmasq::doctor {

namespace {

// Weights and names, with what was found and the fixes indented below.
std::string text(const Facts& facts) {
  std::string all;
  for (const auto& finding : examine(facts)) {
    all += to_text(finding.weight) + " " + finding.name + "\n";
    for (const auto& place : finding.where) all += "  found: " + place + "\n";
    for (const auto& fix : finding.fix) all += "  fix: " + fix + "\n";
  }
  return all;
}

std::string list(const std::string& name, const std::string& type, bool has_entry) {
  return R"({"cniVersion":"1.0.0","name":")" + name + R"(","plugins":[{"type":")" + type + "\"}" +
         (has_entry ? R"(,{"type":"ip-masq"})" : "") + "]}";
}

Facts facts_with(std::vector<conflist::File> files) {
  Facts facts;
  facts.node.conf_dir = "/n";
  facts.node.lists = conflist::read_networks(std::move(files));
  return facts;
}

// A folder that has what is named, "-" before what cannot be run.
BinFolder folder(const std::string& path, const std::vector<std::string>& programs) {
  BinFolder made{.path = path, .programs = {}};
  for (const auto& each : programs)
    each.starts_with('-') ? made.programs[each.substr(1)] = "is empty" : made.programs[each] = "";
  return made;
}

}  // namespace

TEST_CASE("where no list is loaded") {
  const std::string fix =
      "  fix: # mend the file where it says so; ip-masq install --dry-run tells whether a pod could start "
      "then\n";
  auto facts = facts_with({{.name = "10.conflist", .text = "{"}, {.name = "20.conf", .text = "7"}});
  facts.node.backups = {"10.conflist", "other.conflist"};
  CHECK(text(facts) ==
        "hurts no-list-loads\n"
        "  found: /n/10.conflist: it is not JSON: it goes wrong at byte 2\n"
        "  found: /n/20.conf: it is 7: expected an object\n" +
            fix +
            "  fix: # what it was before ip-masq install stands in "
            "/n/10.conflist.before-ip-masq\n");
  CHECK(text(facts_with({})).empty());
  CHECK(text(facts_with({{.name = "10.conflist", .text = "{"},
                         {.name = "20.conflist", .trouble = "it is larger than 1 MiB"}}))
            .empty());
  CHECK(text(facts_with({{.name = "10.conflist", .is_folder = true}})).empty());
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
  const auto said = [&facts] { return text(facts) + why_lists_are_not_told(facts); };
  CHECK(said() == not_told);
  facts.node.bin_folders = {folder("/a", {"ip-masq"}), folder("/b", {"flannel"})};
  CHECK(said() == gone + "  found: /a/ip-masq is there, and no list asks for it\n" + fix);
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
  CHECK(text(facts).starts_with("note other-folders\n  found: --conf-dir is /n; k3s: networks in /k\n"));
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
  CHECK(text(facts).empty());  // nobody says that pods' runtime reads this folder
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
  CHECK(text(facts) == missing("200.conf", "10.conflist") +
                           "  fix: # have its owner bring /n/10.conflist anew, as flannel's pod does when it "
                           "starts\n"
                           "  fix: # ip-masq install --conf-dir /n --after loopback" +
                           install);
  facts.node.bin_folders = {folder("/b", {"loopback"})};
  CHECK(text(facts) == missing("200.conf", "10.conflist") +
                           "  fix: # have its owner bring /n/10.conflist anew, as flannel's pod does when it "
                           "starts\n"
                           "  fix: # or, where this list is meant: ip-masq install --conf-dir /n --after "
                           "loopback --bin-dir /b\n");
  facts.node.put_aside = {"10.conflist"};
  CHECK(text(facts).empty());
  facts.node.put_aside.clear();
  facts.node.lists =
      conflist::read_networks({{.name = "05.conflist", .text = list("cbr0", "flannel", false)}});
  CHECK(text(facts) ==
        missing("05.conflist", "10.conflist") + "  fix: # ip-masq install --conf-dir /n" + install);
  // The list that was made of a single plugin stands instead of it.
  facts.node.backups = {"05.conf"};
  CHECK(text(facts).starts_with("note entry-missing"));
}

TEST_CASE("records of ended pods, beside a list that may be ours") {
  const auto found = [](const std::string& text_of_list) {
    auto facts = facts_with({{.name = "10.conflist", .text = text_of_list}});
    facts.node.has_cache = true;
    facts.ours.networks = {
        {.name = "cbr0", .backend = "nftables", .pod_subnets = {}, .attachments = {{"web", "cbr0-c-eth0"}}}};
    return text(facts).find("records-of-ended-pods") != std::string::npos;
  };
  const auto whole = list("cbr0", "flannel", true);
  CHECK(found(list("cbr0", "flannel", false)));
  CHECK_FALSE(found(whole));
  CHECK_FALSE(found(whole.substr(0, whole.size() - 4)));
}

TEST_CASE("which list pods get, by what runtimes say") {
  const std::vector<conflist::File> files{{.name = "05.conflist", .text = list("podman", "bridge", false)},
                                          {.name = "10.conflist", .text = list("cbr0", "flannel", true)},
                                          {.name = "20.conflist", .text = list("mynet", "bridge", false)}};
  const std::string missing = "hurts entry-missing\n  found: ";
  auto facts = facts_with(files);
  CHECK(text(facts) == missing +
                           "/n/05.conflist is what the runtime loads, and has no entry of ip-masq\n"
                           "  found: /n/10.conflist has one, and comes later\n"
                           "  fix: # of the two files, let the one that pods are to use come first by its "
                           "name; or:\n"
                           "  fix: # ip-masq install --conf-dir /n --after bridge --bin-dir DIR: DIR is "
                           "where the runtime looks for plugins, which is not known here\n");
  facts.node.taking.is_podmans = true;
  CHECK(text(facts).empty());
  facts.node.taking = {.network = "cbr0", .network_said_by = "a file"};
  CHECK(text(facts).empty());
  facts.node.taking.network = "mynet";
  CHECK(
      text(facts) ==
      missing +
          "/n/20.conflist is what the runtime loads, as a file says, and has no entry of ip-masq\n"
          "  found: /n/10.conflist has one\n"
          "  fix: # let CRI-O name the list that pods are to use, a file; or:\n"
          "  fix: # put {\"type\": \"ip-masq\"} behind the other plugins of /n/20.conflist by hand: each of "
          "them stands in a list before it, which ip-masq install takes\n");
  facts.node.taking.network = "nobody's\n";
  CHECK(text(facts) ==
        "hurts network-not-there\n"
        "  found: no list in /n has the name \"nobody's\\n\", as a file says\n"
        "  fix: # have its owner bring the list, or mend the name\n");
}

TEST_CASE("a list without our entry, and what shows that it is to have one") {
  auto facts = facts_with({{.name = "10.conflist", .text = list("cbr0", "flannel", false)}});
  const std::string found =
      " entry-missing\n  found: /n/10.conflist is what the runtime loads, and has no entry of ip-masq\n";
  const auto unknown = [](const std::string& command) {
    return "  fix: # " + command +
           " --bin-dir DIR: DIR is where the runtime looks for plugins, which is not known here\n";
  };
  const std::string install = "ip-masq install --conf-dir /n";
  CHECK(text(facts) == "note" + found + unknown(install));
  facts.node.bin_folders = {folder("/b", {"flannel", "bridge", "host-local"})};
  CHECK(text(facts) == "note" + found + "  fix: ip-masq install --conf-dir /n --bin-dir /b\n");
  facts.node.bin_folders.push_back(folder("/c", {"ip-masq", "flannel", "bridge", "host-local"}));
  CHECK(text(facts) ==
        "hurts" + found + "  found: /c/ip-masq is there, and no list asks for it\n" + unknown(install) +
            "  fix: # or, where ip-masq is given up, once no pod needs it for its end: rm /c/ip-masq\n");
  facts.node.bin_folders = {folder("/empty", {})};
  facts.node.is_search_known = true;
  CHECK(
      text(facts) ==
      "note" + found +
          "  fix: # see first where the runtime looks for plugins: none of the list's others is in /empty\n");
  facts.node.is_search_known = false;
  facts.node.bin_folders.clear();
  facts.node.backups = {"10.conflist"};
  const std::string backup =
      "  found: /n/10.conflist.before-ip-masq is of ip-masq install: the file was written anew since\n";
  CHECK(text(facts) == "hurts" + found + backup + unknown(install));
  facts.node.lists = conflist::read_networks({{.name = "10.conflist", .text = list("net", "bridge", false)}});
  CHECK(text(facts) == "hurts" + found + backup + unknown(install + " --after bridge"));
  facts.node.backups = {"20.conflist"};
  CHECK(text(facts).empty());
}

TEST_CASE("lists of one runtime alone") {
  auto facts = facts_with({{.name = "10.conflist", .text = list("cbr0", "flannel", true)}});
  facts.node.bin_folders = {folder("/b", {"ip-masq", "flannel", "bridge", "host-local"})};
  facts.node.is_search_known = true;
  const auto own = [&facts](const std::string& text_of_list) {
    facts.node.own_lists = {
        {.runtime = "kata",
         .conf_dir = "/k",
         .said_by = "a file",
         .are_read = true,
         .lists = conflist::read_networks({{.name = "a.conflist", .text = text_of_list}})}};
    return text(facts);
  };
  const auto found = [](const std::string& weight, const std::string& after) {
    return weight +
           " runtime-without-entry\n"
           "  found: /k/a.conflist is what pods of the runtime \"kata\" get, as a file says, and has no "
           "entry "
           "of ip-masq\n"
           "  fix: ip-masq install --conf-dir /k" +
           after + " --bin-dir /b\n";
  };
  CHECK(own(list("cbr0", "flannel", true)).empty());
  const std::string its = "  found: a file says that pods of the runtime \"kata\" get the lists of /k\n";
  const std::string mend =
      "  fix: # mend the file where it says so; ip-masq install --dry-run --conf-dir /k tells whether a pod "
      "could start then\n";
  CHECK(own("{") == "hurts no-list-loads\n  found: /k/a.conflist: it is not JSON: it goes wrong at byte 2\n" +
                        its + mend);
  CHECK(own(R"({"cniVersion":"9.9.9","name":"x","plugins":[{"type":"nosuch"},{"type":"ip-masq"}]})") ==
        "hurts plugin-missing\n  found: no program /b/nosuch, which /k/a.conflist asks for\n" + its +
            "  fix: # have their owners put them there: flannel's own pod brings flannel, the package or the "
            "release of containernetworking's plugins brings bridge, host-local and portmap\n"
            "hurts entry-refused\n"
            "  found: /k/a.conflist: \"cniVersion\" is \"9.9.9\": ip-masq speaks 0.3.0, 0.3.1, 0.4.0, "
            "1.0.0, 1.1.0\n" +
            its + mend);
  facts.node.own_lists.front().lists.clear();
  CHECK(text(facts) == "note no-list-loads\n  found: no list is in /k\n" + its +
                           "  fix: # nothing is to be done where nobody uses that runtime; else have the "
                           "owner of a list bring "
                           "it there\n");
  facts.node.own_lists.front().backups = {"a.conflist"};
  CHECK(text(facts).starts_with(
      "hurts no-list-loads\n  found: no list is in /k\n"
      "  found: /k/a.conflist.before-ip-masq is of ip-masq install: the list that it was made beside is "
      "gone\n" +
      its));
  facts.node.own_lists.front().are_read = false;  // which is told
  CHECK(text(facts).empty());
  facts.node.own_lists.front().are_read = true;
  facts.node.own_lists.front().conf_dir = "/n";
  CHECK(text(facts).empty());
  CHECK(own(list("other", "flannel", false)) == found("hurts", ""));
  CHECK(own(list("other", "bridge", false)) == found("note", " --after bridge"));
}

TEST_CASE("the programs that a list asks for") {
  auto facts = facts_with({{.name = "10.conflist", .text = list("cbr0", "flannel", true)}});
  const auto in = [&facts](std::vector<BinFolder> folders, bool is_known) {
    facts.node.bin_folders = std::move(folders);
    facts.node.is_search_known = is_known;
    return text(facts);
  };
  const std::vector<std::string> others{"bridge", "flannel", "host-local"};
  const std::vector<std::string> all{"bridge", "flannel", "host-local", "ip-masq"};
  const auto missing = [](const std::string& program) {
    return "  found: no program " + program + ", which /n/10.conflist asks for\n";
  };
  const std::string install = "  fix: ip-masq install --conf-dir /n --bin-dir ";
  const std::string owners =
      "  fix: # have their owners put them there: flannel's own pod brings flannel, the package or the "
      "release "
      "of containernetworking's plugins brings bridge, host-local and portmap\n";
  const std::string other_folder = "  fix: # where it does, say in which: ip-masq doctor --bin-dir DIR\n";

  for (const bool is_known : {false, true}) {
    CHECK(in({folder("/a", all)}, is_known).empty());
    CHECK(in({folder("/a", others)}, is_known) ==
          "hurts program-missing\n" + missing("/a/ip-masq") + install + "/a\n");
    CHECK(in({folder("/a", {"bridge", "host-local", "ip-masq"})}, is_known) ==
          "hurts plugin-missing\n" + missing("/a/flannel") + owners + (is_known ? "" : other_folder));
    CHECK(in({folder("/a", {"bridge", "-flannel", "host-local", "-ip-masq"})}, is_known) ==
          "hurts program-cannot-run\n"
          "  found: /a/flannel is empty, and /n/10.conflist asks for it\n"
          "  found: /a/ip-masq is empty, and /n/10.conflist asks for it\n"
          "  fix: # have its owner put it there anew: /a/flannel\n" +
              install + "/a\n");
  }
  CHECK(in({}, false).empty());  // could not look
  CHECK(in({folder("/a", {"loopback"})}, false).empty());
  CHECK(in({folder("/a", {"ip-masq"}), folder("/b", {"flannel"})}, false) ==
        "hurts program-missing\n" + missing("/b/ip-masq") + install + "/b\n" + "hurts plugin-missing\n" +
            missing("/b/bridge") + missing("/b/host-local") + owners + other_folder);
  CHECK(in({folder("/a", all), folder("/b", others)}, false) ==
        "note program-missing\n" + missing("/b/ip-masq") + install + "/b\n");
  CHECK(in({folder("/a", all), folder("/b", {"-bridge", "flannel", "host-local", "ip-masq"})}, false)
            .starts_with("note program-cannot-run\n  found: /b/bridge is empty"));
  // All are searched, and the first that has a program is the one that is run.
  CHECK(in({folder("/a", {"ip-masq"}), folder("/b", others)}, true).empty());
  CHECK(in({folder("/a", all), folder("/b", {"-flannel"})}, true).empty());
  CHECK(in({folder("/a", {"-flannel"}), folder("/b", all)}, true)
            .starts_with("hurts program-cannot-run\n  found: /a/flannel is empty"));
  // Beside a folder that is named there may be others.
  facts.node.may_search_more = true;
  const std::string nothing = "  fix: # where it does, and they are there, nothing is wrong\n";
  CHECK(in({folder("/a", {"flannel", "ip-masq"})}, true) ==
        "note plugin-missing\n" + missing("/a/bridge") + missing("/a/host-local") + owners + nothing);
  CHECK(in({folder("/a", {"ip-masq"})}, true) == "hurts plugin-missing\n" + missing("/a/bridge") +
                                                     missing("/a/flannel") + missing("/a/host-local") +
                                                     owners + nothing);
  CHECK(in({folder("/a", others)}, true) ==
        "hurts program-missing\n" + missing("/a/ip-masq") + install + "/a\n");
  facts.node.may_search_more = false;
  CHECK(in({folder("/a", {})}, true) ==
        "hurts program-missing\n" + missing("/a/ip-masq") +
            "  fix: # see first where the runtime looks for plugins: none of the list's others is in /a\n"
            "hurts plugin-missing\n" +
            missing("/a/bridge") + missing("/a/flannel") + missing("/a/host-local") + owners);
}

TEST_CASE("programs that plugins call by themselves") {
  const auto missing = [](const std::string& plugin) {
    auto facts = facts_with(
        {{.name = "10.conflist",
          .text = R"({"cniVersion":"1.0.0","name":"n","plugins":[)" + plugin + R"(,{"type":"ip-masq"}]})"}});
    facts.node.bin_folders = {folder("/a", {"ip-masq"})};
    facts.node.is_search_known = true;
    std::string programs;
    for (const auto& finding : examine(facts)) {
      for (const auto& line : finding.where) programs += line.substr(11, line.find(',') - 11) + " ";
    }
    return programs;
  };
  CHECK(missing(R"({"type":"bridge","ipam":{"type":"whereabouts"}})") == "/a/bridge /a/whereabouts ");
  CHECK(missing(R"({"type":"bridge","ipam":{}})") == "/a/bridge ");
  CHECK(missing(R"({"type":"flannel"})") == "/a/bridge /a/flannel /a/host-local ");
  CHECK(missing(R"({"type":"flannel","delegate":{"type":"ptp","ipam":{"type":"static"}}})") ==
        "/a/flannel /a/ptp /a/static ");
}

}  // namespace ipmasq::doctor
