#include "conflist/multus.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "conflist/plan.hpp"
#include "doctor/findings.hpp"
#include "error/error.hpp"

namespace ipmasq::conflist {

namespace {

constexpr auto folder = "/etc/cni/net.d";
const File single{.name = "99-flannel.conf",
                  .text = R"({"cniVersion":"0.3.1","name":"cbr0","type":"flannel"})"};

File multus(const std::string& keys) {
  return {.name = "00-multus.conf",
          .text = R"({"cniVersion":"0.3.1","name":"multus-cni-network","type":"multus",)" + keys + "}"};
}

// What is told of a plan, or why there is none.
std::string planned(const std::vector<File>& files, const std::string& path = folder, const Taken& taken = {},
                    const Named& named = {}) {
  try {
    const auto plan = plan_install(path, files, "flannel", taken, named);
    std::string text;
    for (const auto& step : plan->steps) text += step.told + (step.told.empty() ? "" : "\n");
    for (const auto& note : plan->notes) text += "note: " + note + "\n";
    return text;
  } catch (const Error& error) {
    return std::string("refused: ") + error.what() + "\n" + error.details() + "\n";
  }
}

std::string refused(const std::string& key, const std::string& path) {
  return "refused: /etc/cni/net.d/99-flannel.conf would become 99-flannel.conflist, and multus takes it by "
         "its "
         "path, \"" +
         key +
         "\" in /etc/cni/net.d/00-multus.conf: no pod would start; nothing was changed in it\n"
         "write \"" +
         path + "\" under \"" + key +
         "\" of /etc/cni/net.d/00-multus.conf, and into what multus' pod makes that file from; then install "
         "at "
         "once: no pod starts in between\n";
}

// Found by doctor, with the fix.
std::string found(std::vector<File> files, const std::set<std::string>& backups = {}) {
  doctor::Facts facts;
  facts.node.conf_dir = folder;
  facts.node.lists = read_networks(std::move(files));
  facts.node.backups = backups;
  facts.node.bin_folders = {
      {.path = "/opt/cni/bin",
       .programs = {{"flannel", ""}, {"bridge", ""}, {"host-local", ""}, {"multus", ""}}}};
  std::string text;
  for (const auto& finding : doctor::examine(facts)) {
    text += finding.name + " (" + doctor::to_text(finding.weight) + "): " + finding.does + "\n";
    for (const auto& line : finding.where) text += "  found: " + line + "\n";
    for (const auto& line : finding.fix) text += "  fix: " + line + "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("a file that multus takes by its path keeps its name") {
  CHECK(planned({multus(R"("clusterNetwork":"/etc/cni/net.d/99-flannel.conf")"), single}) ==
        refused("clusterNetwork", "/etc/cni/net.d/99-flannel.conflist"));
  CHECK(planned({multus(R"("ClusterNetwork":"/host/etc/cni/net.d//99-flannel.conf")"), single}) ==
        refused("clusterNetwork", "/host/etc/cni/net.d/99-flannel.conflist"));
  CHECK(
      planned({multus(R"("readinessindicatorfile":"/etc/cni/net.d/99-flannel.conf","clusterNetwork":"cbr0")"),
               single}) == refused("readinessindicatorfile", "/etc/cni/net.d/99-flannel.conflist"));
  CHECK(planned({multus(R"("defaultNetworks":[7,"other","/etc/cni/net.d/99-flannel.conf"])"), single}) ==
        refused("defaultNetworks", "/etc/cni/net.d/99-flannel.conflist"));
  // As an init container sees the folder.
  CHECK(
      planned({multus(R"("clusterNetwork":"/etc/cni/net.d/99-flannel.conf")"), single}, "/host/etc/cni/net.d")
          .starts_with("refused: /host/etc/cni/net.d/99-flannel.conf would become "));
}

TEST_CASE("a path of multus that leads into the folder through links") {
  auto by = multus(R"("clusterNetwork":"/var/snap/microk8s/6000/args/cni-network/99-flannel.conf")");
  const std::string other =
      "note: /etc/cni/net.d/00-multus.conf is loaded before /etc/cni/net.d/99-flannel.conf: multus hands "
      "pods on to /var/snap/microk8s/6000/args/cni-network/99-flannel.conf\n";
  CHECK(planned({by, single}).find(other) != std::string::npos);
  by.leads_here = {"/var/snap/microk8s/6000/args/cni-network/99-flannel.conf"};
  CHECK(planned({by, single}) ==
        refused("clusterNetwork", "/var/snap/microk8s/6000/args/cni-network/99-flannel.conflist"));
}

TEST_CASE("a file that multus takes otherwise becomes a list") {
  const std::string done =
      "put the entry into /etc/cni/net.d/99-flannel.conflist, which stands instead of "
      "/etc/cni/net.d/99-flannel.conf\n";
  for (const auto* const keys :
       {R"("clusterNetwork":"cbr0")", R"("clusterNetwork":"/etc/cni/net.d/99-flannel.conflist")",
        R"("clusterNetwork":"cbr0","readinessindicatorfile":"/run/flannel/99-flannel.conf")"})
    CHECK(planned({multus(keys), single}) == done);
  CHECK(
      planned({multus(R"("clusterNetwork":"/other/99-flannel.conf")"), single}) ==
      done +
          "note: /etc/cni/net.d/00-multus.conf is loaded before /etc/cni/net.d/99-flannel.conf: multus hands "
          "pods on to /other/99-flannel.conf\n");
}

TEST_CASE("install tells which lists pods get: of multus, and of who takes several") {
  const File other{.name = "10-other.conflist",
                   .text = R"({"cniVersion":"0.3.1","name":"other","plugins":[{"type":"bridge"}]})"};
  const File list{.name = "99-flannel.conflist",
                  .text = R"({"cniVersion":"0.3.1","name":"cbr0","plugins":[{"type":"flannel"}]})"};
  const auto note = [&](const std::vector<File>& files, const Taken& taken) {
    const auto told = planned(files, folder, taken);
    return told.substr(std::min(told.find('\n') + 1, told.size()));
  };
  const Taken both{.most = 2, .said_by = "max_conf_num in FILE"};
  const std::string behind = " is loaded before /etc/cni/net.d/99-flannel.conflist: ";
  const std::string by_multus = "note: /etc/cni/net.d/00-multus.conf" + behind;
  CHECK(note({other, list}, both) == "note: /etc/cni/net.d/10-other.conflist" + behind +
                                         "pods get both networks, as max_conf_num in FILE says, and the "
                                         "addresses that they are known by are "
                                         "of the first\n");
  CHECK(note({multus(R"("clusterNetwork":"cbr0")"), list}, {}).empty());
  CHECK(note({multus(R"("clusterNetwork":"cbr0")"), list}, both) ==
        by_multus +
            "multus hands pods on to the other; they get it once more, as max_conf_num in FILE says\n");
  CHECK(note({multus(R"("clusterNetwork":"/other/a.conflist")"), list}, both) ==
        by_multus +
            "multus hands pods on to /other/a.conflist; they get the other as well, as max_conf_num in FILE "
            "says\n");
  CHECK(note({multus(R"("clusterNetwork":"/other/a.conflist")"), list}, {}) ==
        by_multus + "multus hands pods on to /other/a.conflist\n");
}

TEST_CASE("install tells which list pods get: of CRI-O") {
  const File other{.name = "10-other.conflist",
                   .text = R"({"cniVersion":"0.3.1","name":"other","plugins":[{"type":"bridge"}]})"};
  const File list{.name = "99-flannel.conflist",
                  .text = R"({"cniVersion":"0.3.1","name":"cbr0","plugins":[{"type":"flannel"}]})"};
  const auto note = [&](const std::vector<File>& files, const std::string& network) {
    const auto told =
        planned(files, folder, {}, {.network = network, .said_by = "cni_default_network in FILE"});
    return told.substr(std::min(told.find('\n') + 1, told.size()));
  };
  const std::string otherwise =
      "note: /etc/cni/net.d/99-flannel.conflist is the network \"cbr0\": pods get the network ";
  CHECK(note({list}, "").empty());
  CHECK(note({other, list}, "cbr0").empty());
  CHECK(note({other, list}, "other") == otherwise + "\"other\", as cni_default_network in FILE says\n");
  CHECK(note({list}, "gone") == otherwise + "\"gone\", as cni_default_network in FILE says\n");
  CHECK(note({multus(R"("clusterNetwork":"cbr0")"), list}, "multus-cni-network").empty());
  CHECK(note({multus(R"("clusterNetwork":"cbr0")"), other, list}, "cbr0").empty());
}

TEST_CASE("a list that multus takes by its path does not become a single plugin again") {
  const File list{.name = "99-flannel.conflist",
                  .text = R"({"cniVersion":"0.3.1","name":"cbr0","plugins":[{"type":"flannel"}]})"};
  auto with_entry = list;
  with_entry.text = plan_install(folder, {single}, "flannel")->steps.front().text;
  auto backup = single;
  backup.name += ".before-ip-masq";
  const auto told = [&](const std::string& keys) {
    std::string text;
    const auto plan = plan_uninstall(folder, {multus(keys), with_entry, backup});
    for (const auto& step : plan.steps) text += step.told + "\n";
    for (const auto& note : plan.notes) text += "note: " + note + "\n";
    return text;
  };
  CHECK(told(R"("clusterNetwork":"/etc/cni/net.d/99-flannel.conflist")") ==
        "took the entry out of /etc/cni/net.d/99-flannel.conflist\n"
        "note: /etc/cni/net.d/99-flannel.conf.before-ip-masq was left: it is /etc/cni/net.d/99-flannel.conf "
        "as it "
        "was before ip-masq\n");
  CHECK(told(R"("clusterNetwork":"cbr0")") == "\nput /etc/cni/net.d/99-flannel.conf back\n\n");
}

TEST_CASE("doctor: a file that multus takes by its path and that is not there") {
  const File list{
      .name = "99-flannel.conflist",
      .text =
          R"({"cniVersion":"0.3.1","name":"cbr0","plugins":[{"type":"flannel","delegate":{"ipMasq":false}}]})"};
  const std::string head =
      "network-not-there (hurts): multus fails each ADD without that file: no pod starts\n";
  const auto missing = [](const std::string& key) {
    return "  found: there is no /etc/cni/net.d/99-flannel.conf, which \"" + key +
           "\" of /etc/cni/net.d/00-multus.conf names\n";
  };
  CHECK(found({multus(R"("clusterNetwork":"/etc/cni/net.d/99-flannel.conf")"), list}) ==
        head + missing("clusterNetwork") +
            "  fix: # write \"/etc/cni/net.d/99-flannel.conflist\" under \"clusterNetwork\" of "
            "/etc/cni/net.d/00-multus.conf, and into what multus' pod makes that file from: that list stands "
            "instead of it\n");
  const auto owner = [](const std::string& key) {
    return "  fix: # have its owner bring the file, or mend the path under \"" + key +
           "\" of /etc/cni/net.d/00-multus.conf\n";
  };
  CHECK(found({multus(R"("clusterNetwork":"/etc/cni/net.d/99-flannel.conf")")}) ==
        head + missing("clusterNetwork") + owner("clusterNetwork"));
  const auto both = found({multus(
      R"("clusterNetwork":"nowhere","readinessindicatorfile":"/etc/cni/net.d/99-flannel.conf","defaultNetworks":["/etc/cni/net.d/99-flannel.conf"])")});
  CHECK(both == head + missing("defaultNetworks") + missing("readinessindicatorfile") +
                    owner("defaultNetworks") + owner("readinessindicatorfile"));
  // Whether what no runtime considers is there was not looked at.
  CHECK(found({multus(R"("clusterNetwork":"/etc/cni/net.d/sub","readinessindicatorfile":"/run/x.conf")")})
            .empty());
}

TEST_CASE("doctor's way to an entry in a file that multus takes by its path") {
  CHECK(found({multus(R"("clusterNetwork":"/etc/cni/net.d/99-flannel.conf")"), single}) ==
        "entry-missing (note): new pods of this node have no rules of ours: others' decide\n"
        "  found: /etc/cni/net.d/99-flannel.conf is what multus takes for pods, as "
        "/etc/cni/net.d/00-multus.conf "
        "says, and has no entry of ip-masq\n"
        "  fix: # write \"/etc/cni/net.d/99-flannel.conflist\" under \"clusterNetwork\" of "
        "/etc/cni/net.d/00-multus.conf, and into what multus' pod makes that file from; then at once, since "
        "no pod "
        "starts in between: ip-masq install --conf-dir /etc/cni/net.d --bin-dir /opt/cni/bin\n");
}

}  // namespace ipmasq::conflist
