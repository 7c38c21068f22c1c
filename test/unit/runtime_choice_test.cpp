#include <doctest/doctest.h>

#include "runtimes.hpp"

namespace ipmasq::runtime {

TEST_CASE("auto: nothing is found") {
  CHECK(choice({}) == no_runtime);
  CHECK(choice({{containerd, docker_text}}) == no_runtime);
  CHECK(choice({{podman, "[network]\nnetwork_backend = \"netavark\"\n"}}) == no_runtime);
  CHECK(choice({{kubelet, kubelet_text}, {containerd, docker_text}}) == no_runtime);
}

TEST_CASE("auto: two that look in the same folders, and two that do not") {
  CHECK(choice({{"/var/lib/kubelet/kubeadm-flags.env",
                 "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///var/run/crio/crio.sock\"\n"},
                {containerd, debian_text},
                {crio, crio_text}})
            .starts_with(
                "/etc/cni/net.d /opt/cni/bin\nkubeadm: networks in /etc/cni/net.d (as CRI-O is built"));
  CHECK(choice({{kubelet, kubelet_text},
                {containerd, debian_text},
                {podman, "[network]\nnetwork_backend = 'cni'\n"},
                {"/opt/cni/bin/", ""}})
            .starts_with("/etc/cni/net.d /usr/lib/cni\nkubeadm: "));
  CHECK(choice({{k3s, k3s_text("/bin")},
                {podman, "[network]\nnetwork_backend = 'cni'\ncni_plugin_dirs = ['/p']\n"}}) ==
        "refused: what runs pods on this node does not look in the same folders: k3s: networks in "
        "/var/lib/rancher/k3s/agent/etc/cni/net.d (conf_dir in "
        "/var/lib/rancher/k3s/agent/etc/containerd/config.toml), plugins in /bin (bin_dir in "
        "/var/lib/rancher/k3s/agent/etc/containerd/config.toml); podman: networks in /etc/cni/net.d (as "
        "podman is "
        "built, no containers.conf names another), plugins in /p (cni_plugin_dirs in "
        "/etc/containers/containers.conf)\n"
        "write which is meant: --flavour k3s or --flavour podman, or --conf-dir DIR --bin-dir DIR");
}

TEST_CASE("a flavour that is named, whatever there is of it") {
  const auto usual = [](const std::string& flavour) {
    const auto all = choice({}, flavour);
    return all.substr(0, all.find('\n'));
  };
  CHECK(
      choice({}, "k3s") ==
      "/var/lib/rancher/k3s/agent/etc/cni/net.d /var/lib/rancher/k3s/data/cni\n"
      "k3s: networks in /var/lib/rancher/k3s/agent/etc/cni/net.d (as k3s is built, nothing of it is found), "
      "plugins in /var/lib/rancher/k3s/data/cni (as k3s is built, nothing of it is found)");
  CHECK(usual("kubeadm") == "/etc/cni/net.d /opt/cni/bin");
  CHECK(usual("rke2") == "/etc/cni/net.d /opt/cni/bin");
  CHECK(usual("microk8s") ==
        "/var/snap/microk8s/current/args/cni-network /var/snap/microk8s/current/opt/cni/bin");
  CHECK(usual("openshift") == "/etc/kubernetes/cni/net.d /var/lib/cni/bin");
  CHECK(usual("crio") == "/etc/cni/net.d /opt/cni/bin");
  CHECK(usual("podman") == "/etc/cni/net.d /usr/local/libexec/cni");
  const test::Files both{
      {k3s, k3s_text("/bin")}, {containerd, debian_text}, {podman, "[network]\nnetwork_backend = 'cni'\n"}};
  CHECK(choice(both, "k3s").starts_with("/var/lib/rancher/k3s/agent/etc/cni/net.d /bin\n"));
  CHECK(choice(both, "kubeadm").starts_with("/etc/cni/net.d /usr/lib/cni\n"));
  CHECK(choice({{podman, "[network]\nnetwork_backend = 'netavark'\n"}}, "podman") ==
        "refused: podman runs no CNI plugin here: its back end is netavark (network_backend in "
        "/etc/containers/containers.conf)\n"
        "write network_backend = \"cni\" into [network] of /etc/containers/containers.conf, which podman "
        "knows up "
        "to version 4");
}

TEST_CASE("what may be there and cannot be read is never taken for nothing") {
  const std::string hint = "\nmend it, or write the folders: --conf-dir DIR --bin-dir DIR";
  const auto of_k3s = [](const std::string& text) { return choice({{k3s, text}}); };
  const std::string path = std::string("refused: ") + k3s;
  CHECK(of_k3s("!") == "refused: cannot read " + std::string(k3s) + ": Input/output error" + hint);
  CHECK(of_k3s("version = 2\n[plugins\n").starts_with(path + ", line 2: not TOML: "));
  CHECK(of_k3s("[plugins.cri.cni]\nbin_dir = 7\n") ==
        path + ": bin_dir is 7: expected an absolute path" + hint);
  CHECK(of_k3s("[plugins.cri.cni]\nconf_dir = 'net.d'\n") ==
        path + ": conf_dir is \"net.d\": expected an absolute path" + hint);
  CHECK(of_k3s("[plugins.cri.cni]\nbin_dirs = '/b'\n") ==
        path + ": bin_dirs is \"/b\": expected a list of paths" + hint);
  const auto of_crio = [](const std::string& text) { return choice({{crio, text}}); };
  const std::string crio_path = std::string("refused: ") + crio;
  CHECK(of_crio("crio = [1]\n") == crio_path + ": crio is [1]: expected a table" + hint);
  CHECK(of_crio("[crio]\nnetwork = 5\n") == crio_path + ": network is 5: expected a table" + hint);
  CHECK(choice({{k3s, "!"}}, "rke2").starts_with("/etc/cni/net.d /opt/cni/bin\nrke2: "));
}

}  // namespace ipmasq::runtime
