#include <doctest/doctest.h>

#include "conflist/entry.hpp"
#include "doctor/findings.hpp"
#include "doctor/program_findings.hpp"
#include "list_facts.hpp"
#include "texts.hpp"

namespace ipmasq::doctor {

namespace {

using test::facts_with;
using test::folder;
using test::list;
using test::text_with_weights;

}  // namespace

TEST_CASE("records of ended pods, beside a list that may be ours") {
  const auto found = [](const std::string& text_of_list) {
    auto facts = facts_with({{.name = "10.conflist", .text = text_of_list}});
    facts.node.has_cache = true;
    facts.ours.networks = {
        {.name = "cbr0", .backend = "nftables", .pod_subnets = {}, .attachments = {{"web", "cbr0-c-eth0"}}}};
    return text_with_weights(facts).find("records-of-ended-pods") != std::string::npos;
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
  CHECK(text_with_weights(facts) ==
        missing +
            "/n/05.conflist is what the runtime loads, and has no entry of ip-masq\n"
            "  found: /n/10.conflist has one, and comes later\n"
            "  fix: # of the two files, let the one that pods are to use come first by its "
            "name; or:\n"
            "  fix: # ip-masq install --conf-dir /n --after bridge --bin-dir DIR: DIR is "
            "where the runtime looks for plugins, which is not known here\n");
  facts.node.taking.is_podmans = true;
  CHECK(text_with_weights(facts).empty());
  facts.node.taking = {.network = "cbr0", .network_said_by = "a file"};
  CHECK(text_with_weights(facts).empty());
  facts.node.taking.network = "mynet";
  CHECK(text_with_weights(facts) ==
        missing +
            "/n/20.conflist is what the runtime loads, as a file says, and has no entry of ip-masq\n"
            "  found: /n/10.conflist has one\n"
            "  fix: # let CRI-O name the list that pods are to use, a file; or:\n"
            "  fix: # put " +
            std::string(conflist::plain_entry) +
            " behind the other plugins of /n/20.conflist by hand: each of "
            "them stands in a list before it, which ip-masq install takes\n");
  facts.node.taking.network = "nobody's\n";
  CHECK(text_with_weights(facts) ==
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
  CHECK(text_with_weights(facts) == "note" + found + unknown(install));
  facts.node.bin_folders = {folder("/b", {"flannel", "bridge", "host-local"})};
  CHECK(text_with_weights(facts) == "note" + found + "  fix: ip-masq install --conf-dir /n --bin-dir /b\n");
  facts.node.bin_folders.push_back(folder("/c", {"ip-masq", "flannel", "bridge", "host-local"}));
  CHECK(text_with_weights(facts) ==
        "hurts" + found + "  found: /c/ip-masq is there, and no list asks for it\n" + unknown(install) +
            "  fix: # or, where ip-masq is given up, once no pod needs it for its end: rm /c/ip-masq\n");
  facts.node.bin_folders = {folder("/empty", {})};
  facts.node.is_search_known = true;
  CHECK(
      text_with_weights(facts) ==
      "note" + found +
          "  fix: # see first where the runtime looks for plugins: none of the list's others is in /empty\n");
  facts.node.is_search_known = false;
  facts.node.bin_folders.clear();
  facts.node.backups = {"10.conflist"};
  const std::string backup =
      "  found: /n/10.conflist.before-ip-masq is of ip-masq install: the file was written anew since\n";
  CHECK(text_with_weights(facts) == "hurts" + found + backup + unknown(install));
  facts.node.lists = conflist::read_networks({{.name = "10.conflist", .text = list("net", "bridge", false)}});
  CHECK(text_with_weights(facts) == "hurts" + found + backup + unknown(install + " --after bridge"));
  facts.node.backups = {"20.conflist"};
  CHECK(text_with_weights(facts).empty());
}

TEST_CASE("pods get more lists than one") {
  const auto said = [](const std::string& first, std::size_t most) {
    auto facts = facts_with({{.name = "10.conflist", .text = first},
                             {.name = "20.conflist", .text = list("cbr0", "flannel", true)},
                             {.name = "30.conflist", .text = "{"}});
    facts.node.taking.lists = {most, "max_conf_num in FILE"};
    facts.node.processes = {"containerd"};
    facts.node.bin_folders = {folder("/b", {"ip-masq", "flannel", "bridge", "host-local", "macvlan"})};
    facts.node.is_search_known = true;
    return text_with_weights(facts);
  };
  const auto found = [](const std::string& weight, const std::string& rest) {
    return weight +
           " entry-missing\n  found: /n/10.conflist is what the runtime loads, and has no entry of ip-masq\n"
           "  found: /n/20.conflist has one, and comes later" +
           rest + "\n";
  };
  const std::string both = "; pods get both, as max_conf_num in FILE says";
  CHECK(said(list("x", "macvlan", false), 1).starts_with(found("hurts", "")));
  CHECK(said(list("x", "macvlan", false), 2).starts_with(found("note", both)));
  CHECK(said(list("x", "flannel", false), 2).starts_with(found("hurts", both)));
  const std::string in_the_way = "hurts file-in-the-way\n  found: /n/30.conflist: it is not JSON";
  CHECK(said(list("x", "macvlan", false), 2).find(in_the_way) == std::string::npos);
  CHECK(said(list("x", "macvlan", false), 3).find(in_the_way) != std::string::npos);
}

TEST_CASE("CRI-O passes over a list whose programs it does not find") {
  const auto said = [](const std::vector<std::string>& programs, bool is_crios, const std::string& first) {
    auto facts = facts_with({{.name = "10.conflist", .text = first},
                             {.name = "20.conflist", .text = list("crio", "bridge", false)}});
    facts.node.taking.is_crios = is_crios;
    facts.node.bin_folders = {folder("/b", programs)};
    facts.node.is_search_known = true;
    return text_with_weights(facts);
  };
  const auto ours = list("cbr0", "flannel", true);
  const std::string instead =
      "hurts entry-missing\n  found: /n/20.conflist is what the runtime loads, and has no entry of ip-masq\n"
      "  found: /n/10.conflist has one, and CRI-O passes over it: it misses a program that the list asks "
      "for\n  fix: # bring the program that it misses; or:\n";
  const auto is_instead = [&](const std::vector<std::string>& programs, bool is_crios) {
    return said(programs, is_crios, ours).find(instead) != std::string::npos;
  };
  CHECK(is_instead({"ip-masq", "bridge", "host-local"}, true));
  CHECK(is_instead({"flannel", "bridge", "host-local"}, true));
  CHECK(is_instead({"-ip-masq", "flannel", "bridge", "host-local"}, true));
  CHECK_FALSE(is_instead({"ip-masq", "bridge", "host-local"}, false));
  CHECK_FALSE(is_instead({"ip-masq", "flannel", "bridge"}, true));  // it does not ask for what flannel calls
  CHECK_FALSE(is_instead({"host-local"}, true));                    // nor has it another
  CHECK(said({"ip-masq", "flannel", "bridge", "host-local"}, true, ours).empty());
  CHECK(said({"bridge", "host-local"}, true, list("cbr0", "flannel", false)).empty());
}

TEST_CASE("what install would refuse is no fix") {
  auto facts = facts_with({{.name = "10.conflist", .text = list("cbr0", "flannel", false)}});
  facts.node.bin_folders = {folder("/b", {"bridge", "host-local"})};
  facts.node.is_search_known = true;
  CHECK(
      text_with_weights(facts) ==
      "note entry-missing\n  found: /n/10.conflist is what the runtime loads, and has no entry of ip-masq\n"
      "  fix: # have its owner put flannel where the runtime looks, /b; then: ip-masq install --conf-dir /n "
      "--bin-dir /b\n");
}

TEST_CASE("an entry of another revision") {
  const auto is_found = [](const std::string& running, const std::string& other, bool are_lists_read) {
    auto facts = facts_with({{.name = "10.conflist", .text = running}});
    facts.node.are_lists_read = are_lists_read;
    facts.node.revisions.push_back({{}, "/r", {}});
    facts.node.revisions.back().lists = conflist::read_networks({{.name = "10.conflist", .text = other}});
    return text_with_weights(facts).find(
               "note entry-of-other-revision\n  found: /r/10.conflist has an entry of ip-masq") !=
           std::string::npos;
  };
  const auto with = list("cbr0", "flannel", true);
  const auto without = list("cbr0", "flannel", false);
  CHECK(is_found(without, with, true));
  CHECK_FALSE(is_found(without, without, true));
  CHECK_FALSE(is_found(with, with, true));
  CHECK_FALSE(is_found(with.substr(0, with.size() - 4), with, true));
  CHECK_FALSE(is_found(without, with, false));
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
    return text_with_weights(facts);
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
  CHECK(text_with_weights(facts) ==
        "note no-list-loads\n  found: no list is in /k\n" + its +
            "  fix: # nothing is to be done where nobody uses that runtime; else have the "
            "owner of a list bring "
            "it there\n");
  facts.node.own_lists.front().backups = {"a.conflist"};
  CHECK(text_with_weights(facts).starts_with(
      "hurts no-list-loads\n  found: no list is in /k\n"
      "  found: /k/a.conflist.before-ip-masq is of ip-masq install: the list that it was made beside is "
      "gone\n" +
      its));
  facts.node.own_lists.front().are_read = false;  // which is told
  CHECK(text_with_weights(facts).empty());
  facts.node.own_lists.front().are_read = true;
  facts.node.own_lists.front().conf_dir = "/n";
  CHECK(text_with_weights(facts).empty());
  CHECK(own(list("other", "flannel", false)) == found("hurts", ""));
  CHECK(own(list("other", "bridge", false)) == found("note", " --after bridge"));
}

TEST_CASE("the programs that a list asks for") {
  auto facts = facts_with({{.name = "10.conflist", .text = list("cbr0", "flannel", true)}});
  const auto in = [&facts](std::vector<BinFolder> folders, bool is_known) {
    facts.node.bin_folders = std::move(folders);
    facts.node.is_search_known = is_known;
    return text_with_weights(facts);
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
  // What stands under our name is somebody else's, whether or not it can be run.
  auto anothers = folder("/a", all);
  anothers.has_anothers = true;
  const std::string another = "  found: /a/ip-masq is not ip-masq's, and /n/10.conflist asks for it\n";
  CHECK(in({anothers}, true) == "hurts another-program\n" + another + install + "/a\n");
  CHECK(in({anothers}, false) == "hurts another-program\n" + another + install + "/a\n");
  CHECK(in({anothers, folder("/b", all)}, false) == "note another-program\n" + another + install + "/a\n");
  CHECK(in({folder("/b", all), anothers}, true).empty());
  anothers.programs.at("ip-masq") = "is empty";
  CHECK(in({anothers}, true).starts_with("hurts program-cannot-run\n"));
  CHECK(in({anothers}, true).find("another-program") == std::string::npos);
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

TEST_CASE("what stands in a program's place and is none") {
  auto facts = facts_with(
      {{.name = "10.conflist",
        .text = R"({"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"},{"type":"ip-masq"}]})"}});
  auto bin = folder("/a", {"bridge"});
  bin.no_files = {{"ip-masq", "a folder"}};
  const auto told = [&](bool is_known) {
    facts.node.bin_folders = {bin};
    facts.node.is_search_known = is_known;
    Findings findings;
    find_program_findings(facts, findings);
    std::string text;
    for (const auto& finding : findings) {
      text += finding.name + "\n";
      for (const auto& line : finding.where) text += line + "\n";
      for (const auto& line : finding.fix) text += line + "\n";
    }
    return text;
  };
  const std::string missing = "program-missing\nno program /a/ip-masq, which /n/10.conflist asks for";
  const std::string install = "ip-masq install --conf-dir /n --after bridge --bin-dir /a\n";
  for (const bool is_known : {true, false})
    CHECK(told(is_known) ==
          missing + ": /a/ip-masq is a folder\nmv -n /a/ip-masq /a/ip-masq.moved\n" + install);
  bin.no_files.clear();
  bin.dead_links = {{"ip-masq", "/gone"}};
  CHECK(told(true) == missing + ": /a/ip-masq is a link to /gone, and that is not there\n" + install);
}

TEST_CASE("plugins that are not seen where a folder is named") {
  auto facts = facts_with(
      {{.name = "10.conflist",
        .text = R"({"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"},{"type":"portmap"},)"
                R"({"type":"ip-masq"}]})"}});
  facts.node.is_search_known = true;
  facts.node.may_search_more = true;
  const auto told = [&facts](const std::vector<BinFolder>& folders) {
    facts.node.bin_folders = folders;
    return test::lines(why_programs_are_not_told(facts));
  };
  const auto missing = [](const std::string& where) {
    return "whether the runtime finds portmap in another folder: it is not in " + where +
           ", which /n/10.conflist asks for; --bin-dir, given once for each folder where the runtime looks, "
           "tells\n";
  };
  CHECK(told({folder("/a", {"bridge", "portmap", "ip-masq"})}).empty());
  CHECK(told({folder("/a", {"bridge", "ip-masq"})}) == missing("/a/portmap"));
  CHECK(told({folder("/a", {"bridge", "ip-masq"}), folder("/b", {})}) == missing("/a/portmap or /b/portmap"));
  CHECK(told({folder("/a", {"bridge", "ip-masq"}), folder("/b", {"portmap"})}).empty());
  CHECK(told({folder("/a", {"ip-masq"})}).empty());  // it hurts, and is found
  auto linked = folder("/a", {"bridge", "portmap", "ip-masq"});
  linked.dead_links = {{"portmap", "/usr/lib/cni/portmap"}, {"ip-masq", "/x"}, {"tuning", "/y"}};
  CHECK(
      told({linked}) ==
      "whether /a/ip-masq can be run: it is a link to /x, which is not there, or not seen here\n"
      "whether /a/portmap can be run: it is a link to /usr/lib/cni/portmap, which is not there, or not seen "
      "here\n");
  facts.node.may_search_more = false;
  CHECK(told({folder("/a", {"bridge", "ip-masq"})}).empty());  // it hurts, and is found
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
