#include <doctest/doctest.h>

#include "node_files.hpp"
#include "runtime/choose.hpp"
#include "texts.hpp"

namespace ipmasq::runtime {

namespace {

using test::Files;

constexpr auto kubelet = "/var/lib/kubelet/config.yaml";
constexpr auto containerd = "/etc/containerd/config.toml";

// How the lists of the folder are taken, a line each.
std::string taken(const Files& files) {
  const auto choice = choose({}, files);
  std::string text = choice.is_podmans ? "by name\n" : "";
  const auto& of_pods = choice.of_pods;
  if (!of_pods.network.empty()) text += of_pods.network + ": " + of_pods.network_said_by + "\n";
  const auto tell = [&text](const MostLists& most) {
    if (most.said_by.empty()) return;
    text += (most.count == MostLists::all ? "all" : std::to_string(most.count)) + ": " + most.said_by + "\n";
  };
  tell(of_pods.most_lists);
  for (const auto& own : of_pods.own_networks) {
    text += own.runtime + ": " + own.networks.string() + ", " + own.said_by + "\n";
    if (own.most_lists.said_by != of_pods.most_lists.said_by) tell(own.most_lists);
  }
  return text;
}

std::string crio_text(const std::string& network) {
  return "[crio.network]\ncni_default_network = " + network + "\n";
}

}  // namespace

TEST_CASE("which list pods get") {
  const std::string cni_backend = "[network]\nnetwork_backend = 'cni'\n";
  const std::string podman = "/etc/containers/containers.conf";
  CHECK(taken({}).empty());
  CHECK(taken({{podman, cni_backend}}) == "by name\n");
  CHECK(taken({{"/etc/crio/crio.conf", crio_text("'first'")},
               {"/etc/crio/crio.conf.d/20-mine", crio_text("'second'")},
               {podman, cni_backend},
               {"/opt/cni/bin/", ""}}) == "second: cni_default_network in /etc/crio/crio.conf.d/20-mine\n");
  CHECK(taken({{"/etc/crio/crio.conf", crio_text("'first'")},
               {"/etc/crio/crio.conf.d/20-mine", crio_text("''")}})
            .empty());
  CHECK(taken({{"/etc/crio/crio.conf", crio_text("7")}}).empty());
  // Of the two the kubelet uses containerd.
  CHECK(taken({{kubelet, "kind: KubeletConfiguration\n"},
               {containerd, "version = 2\n"},
               {"/etc/crio/crio.conf", crio_text("'first'")}})
            .empty());
}

TEST_CASE("how many lists pods get") {
  const auto taken_of = [](const std::string& text, const std::string& imported = "") {
    return taken({{kubelet, "kind: KubeletConfiguration\n"},
                  {containerd, "version = 2\nimports = ['/etc/containerd/conf.d/*.toml']\n" + text},
                  {"/etc/containerd/conf.d/a.toml", imported}});
  };
  const std::string cri = "plugins.'io.containerd.grpc.v1.cri'";
  const std::string cni = "[" + cri + ".cni]\nmax_conf_num = ";
  const std::string said = ": max_conf_num in /etc/containerd/config.toml\n";
  CHECK(taken_of("").empty());
  CHECK(taken_of(cni + "1\n") == "1" + said);
  CHECK(taken_of(cni + "2\n") == "2" + said);
  CHECK(taken_of(cni + "0\n") == "all" + said);
  CHECK(taken_of(cni + "-1\n") == "all" + said);
  CHECK(taken_of(cni + "'2'\n").empty());
  CHECK(taken_of(cni + "2\n", "version = 2\n" + cni + "3\n") ==
        "3: max_conf_num in /etc/containerd/conf.d/a.toml\n");
  CHECK(taken_of(cni + "2\n", "version = 2\n[" + cri + ".registry]\n") ==
        "2: max_conf_num in /etc/containerd/config.toml (which containerd 1 forgets for what is imported)\n");
  const auto kata = [&](const std::string& most) {
    return cni + "2\n[" + cri + ".containerd.runtimes.kata]\ncni_conf_dir = '/k'\n" + most;
  };
  const std::string own = "2" + said + "kata: /k, cni_conf_dir in /etc/containerd/config.toml\n";
  CHECK(taken_of(kata("")) == own);
  CHECK(taken_of(kata("cni_max_conf_num = 0\n")) == own);
  CHECK(taken_of(kata("cni_max_conf_num = 5\n")) ==
        own + "5: cni_max_conf_num in /etc/containerd/config.toml\n");
}

TEST_CASE("lists that runtimes of containerd have for themselves") {
  const auto taken_of = [](const std::string& text, const std::string& imported = "") {
    return taken({{kubelet, "kind: KubeletConfiguration\n"},
                  {containerd, text},
                  {"/etc/containerd/conf.d/a.toml", imported}});
  };
  const std::string two = "version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd.runtimes.";
  const std::string three = "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.";
  const std::string kata = "kata: /etc/cni/kata.d, cni_conf_dir in /etc/containerd/config.toml\n";
  CHECK(taken_of(two + "kata]\ncni_conf_dir = '/etc/cni/kata.d/'\n") == kata);
  CHECK(taken_of(three + "kata]\ncni_conf_dir = '/etc/cni/kata.d'\n") == kata);
  CHECK(taken_of("[plugins.cri.containerd.runtimes.kata]\ncni_conf_dir = '/etc/cni/kata.d'\n") == kata);
  CHECK(taken_of(two + "runc]\ncni_conf_dir = ''\n").empty());
  CHECK(taken_of(two + "kata]\nruntime_type = 'x'\n").empty());
  CHECK(taken_of("version = 2\n[plugins.'io.containerd.grpc.v1.cri'.containerd]\nruntimes = 7\n").empty());
  CHECK(taken_of("imports = ['conf.d/*.toml']\n" + three + "kata]\ncni_conf_dir = '/etc/cni/kata.d'\n",
                 two + "kata]\ncni_conf_dir = '/etc/cni/other.d'\n") ==
        "kata: /etc/cni/other.d, cni_conf_dir in /etc/containerd/conf.d/a.toml\n");
  CHECK(test::error_of([&] { taken_of(two + "kata]\ncni_conf_dir = 'kata.d'\n"); }) ==
        "7: /etc/containerd/config.toml: cni_conf_dir is \"kata.d\": expected an absolute path");
}

TEST_CASE("k3s and RKE2 with another folder for their data") {
  const auto networks = [](const std::string& text, const std::string& more = "") {
    const auto choice = choose({}, Files{{"/etc/rancher/k3s/config.yaml", text},
                                         {"/etc/rancher/k3s/config.yaml.d/10.yaml", more},
                                         {"/etc/rancher/k3s/config.yaml.d/20.txt", "data-dir: /no\n"},
                                         {"/mnt/k3s/agent/etc/cni/net.d/10-flannel.conflist", "{}"},
                                         {"/mnt/k3s/data/cni/", ""}});
    return choice.networks.string() + " " + choice.plugin.string();
  };
  const std::string moved = "/mnt/k3s/agent/etc/cni/net.d /mnt/k3s/data/cni";
  const std::string usual = "/etc/cni/net.d /opt/cni/bin";
  CHECK(networks("data-dir: /mnt/k3s\n") == moved);
  CHECK(networks("token: x\n\"data-dir\": '/mnt/k3s/'  # the large disk\n") == moved);
  CHECK(networks("data-dir: /mnt/other\n", "data-dir: /mnt/k3s\n") == moved);
  CHECK(networks("", "data-dir: /mnt/k3s\n") == moved);
  CHECK(networks("data-dir: ''\n") == usual);
  CHECK(networks("# data-dir: /mnt/k3s\n") == usual);
  CHECK(networks("node-label: [data-dir]\n") == usual);
  CHECK(networks("{not YAML, and of no matter here\n") == usual);
  CHECK(test::error_of([&] { networks("data-dir: mnt\n"); }) ==
        "7: /etc/rancher/k3s/config.yaml: data-dir is \"mnt\": expected an absolute path");
  CHECK(test::error_of([&] { networks("data-dir: [/mnt]\n"); }) ==
        "7: /etc/rancher/k3s/config.yaml: data-dir is null: expected an absolute path");
  CHECK(test::error_of([&] {
          networks("data-dir: {\n");
        }).starts_with("7: /etc/rancher/k3s/config.yaml, line 2: not YAML: "));
  CHECK(choose({}, Files{{"/etc/rancher/rke2/config.yaml", "data-dir: /mnt/rke2\n"},
                         {"/mnt/rke2/agent/etc/containerd/config.toml",
                          "[plugins.cri.cni]\nbin_dir = '/b'\nconf_dir = '/n'\n"}})
            .networks == "/n");
}

}  // namespace ipmasq::runtime
