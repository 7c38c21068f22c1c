#include <doctest/doctest.h>

#include "runtimes.hpp"

namespace ipmasq::runtime {

namespace {

constexpr auto openshift_text = R"([crio]
internal_wipe = true

[crio.api]
stream_address = "127.0.0.1"

[crio.network]
network_dir = "/etc/kubernetes/cni/net.d/"
plugin_dirs = [
    "/var/lib/cni/bin",
    "/usr/libexec/cni",
]
)";

}  // namespace

TEST_CASE("auto: CRI-O and OpenShift, whose last file wins") {
  CHECK(
      choice({{crio, crio_text}}) ==
      "/etc/cni/net.d /opt/cni/bin\n"
      "crio: networks in /etc/cni/net.d (as CRI-O is built, no file of /etc/crio names another), plugins in "
      "/opt/cni/bin (as CRI-O is built, no file of /etc/crio names another)");
  CHECK(
      choice({{"/etc/crio/crio.conf", openshift_text},
              {crio, crio_text},
              {"/etc/crio/crio.conf.d/20-mine", "[crio.network]\nplugin_dirs = ['/mine']\n"},
              {"/etc/crio/crio.conf.d/30-old.conf", "[crio.network]\nplugin_dir = '/old'\n"},
              {"/old/ip-masq", ""}}) ==
      "/etc/kubernetes/cni/net.d /old\n"
      "crio: networks in /etc/kubernetes/cni/net.d (network_dir in /etc/crio/crio.conf), plugins in /mine or "
      "/old (plugin_dirs in /etc/crio/crio.conf.d/20-mine, plugin_dir in /etc/crio/crio.conf.d/30-old.conf)");
  CHECK(choice({{"/etc/crio/crio.conf.d/00-default", openshift_text},
                {"/etc/machine-config-daemon/", ""},
                {"/var/lib/cni/bin/", ""}}) ==
        "/etc/kubernetes/cni/net.d /var/lib/cni/bin\n"
        "openshift: networks in /etc/kubernetes/cni/net.d (network_dir in /etc/crio/crio.conf.d/00-default), "
        "plugins in /var/lib/cni/bin or /usr/libexec/cni (plugin_dirs in /etc/crio/crio.conf.d/00-default)");
}

TEST_CASE("auto: what CRI-O's service is told counts more (openshift/machine-config-operator#62)") {
  constexpr auto service =
      "[Service]\nEnvironmentFile=-/etc/sysconfig/crio-network\nExecStart=/usr/bin/crio "
      "$CRIO_NETWORK_OPTIONS\n";
  constexpr auto options =
      "CRIO_NETWORK_OPTIONS=\"--cni-config-dir=/etc/kubernetes/cni/net.d "
      "--cni-plugin-dir=/var/lib/cni/bin,/mine\"\n";
  constexpr auto told =
      "/etc/kubernetes/cni/net.d /var/lib/cni/bin\n"
      "crio: networks in /etc/kubernetes/cni/net.d (cni-config-dir in /lib/systemd/system/crio.service), "
      "plugins in "
      "/var/lib/cni/bin or /mine (cni-plugin-dir in /lib/systemd/system/crio.service)";
  for (const auto* const file : {"", "[crio.network]\nnetwork_dir = '/n'\nplugin_dir = '/old'\n"}) {
    test::Files files{{"/lib/systemd/system/crio.service", service},
                      {"/etc/sysconfig/crio-network", options}};
    if (*file != '\0') files.put(crio, file);
    CHECK(choice(files) == told);
  }
  CHECK(
      choice({{"/lib/systemd/system/crio.service", "[Service]\nExecStart=/usr/bin/crio -c /etc/mine.conf\n"},
              {"/etc/mine.conf", "[crio.network]\nnetwork_dir = '/n'\nplugin_dirs = ['/p']\n"}}) ==
      "/n /p\ncrio: networks in /n (network_dir in /etc/mine.conf), plugins in /p (plugin_dirs in "
      "/etc/mine.conf)");
}

TEST_CASE("auto: CRI-O's files in folders of its folder, in the order of a walk") {
  const auto plugins = [](const std::string& path) {
    return "[crio.network]\nplugin_dirs = ['" + path + "']\n";
  };
  CHECK(choice({{"/etc/crio/crio.conf.d/10-crio.conf", plugins("/a")},
                {"/etc/crio/crio.conf.d/20/deep/10.conf", plugins("/b")},
                {"/etc/crio/crio.conf.d/20.conf", "[crio.network]\nnetwork_dir = '/n'\n"},
                {"/etc/crio/crio.conf.d/15.conf", plugins("/c")}}) ==
        "/n /b\ncrio: networks in /n (network_dir in /etc/crio/crio.conf.d/20.conf), plugins in /b "
        "(plugin_dirs in "
        "/etc/crio/crio.conf.d/20/deep/10.conf)");
}

TEST_CASE("auto: CRI-O's files that its package has left") {
  const std::string debian =
      "/etc/cni/net.d /usr/lib/cni\nkubeadm: networks in /etc/cni/net.d (conf_dir in "
      "/etc/containerd/config.toml), plugins in /usr/lib/cni (bin_dir in /etc/containerd/config.toml)";
  const auto told = [](const std::string& socket, const std::string& file = kubelet) {
    return choice({{file, "containerRuntimeEndpoint: unix:///var/run/" + socket + "\n"},
                   {containerd, debian_text},
                   {"/etc/crio/crio.conf", openshift_text}});
  };
  CHECK(told("containerd/containerd.sock") == debian);
  CHECK(told("containerd/containerd.sock", "/var/lib/kubelet/instance-config.yaml") == debian);
  CHECK(told("cri-dockerd.sock").starts_with("/etc/cni/net.d /opt/cni/bin\nkubeadm: "));
  CHECK(told("crio/crio.sock").starts_with("/etc/kubernetes/cni/net.d /var/lib/cni/bin\nkubeadm: "));
  // The kubelet does not say.
  CHECK(told("other.sock")
            .starts_with("refused: what runs pods on this node does not look in the same folders: "));
  const auto beside = [](const std::string& file, const std::string& text, const std::string& socket) {
    const auto all = choice({{file, text}, {"/etc/crio/crio.conf", openshift_text}, {socket, ""}});
    return all.substr(0, all.find_first_of("\n:"));
  };
  CHECK(beside(k3s, k3s_text("/bin"), "/run/other") == "/var/lib/rancher/k3s/agent/etc/cni/net.d /bin");
  CHECK(beside(rke2, rke2_text, "/run/other") == "/etc/cni/net.d /opt/cni/bin");
  CHECK(beside(rke2, rke2_text, "/run/crio/crio.sock") == "refused");
  CHECK(choice({{"/etc/rancher/k3s/config.yaml", "container-runtime-endpoint: unix:///run/crio/crio.sock\n"},
                {k3s, k3s_text("/of/before")},
                {"/etc/crio/crio.conf", openshift_text}})
            .starts_with(
                "/etc/kubernetes/cni/net.d /var/lib/cni/bin\nk3s: networks in /etc/kubernetes/cni/net.d "
                "(network_dir in /etc/crio/crio.conf)"));
}

TEST_CASE("auto: of several folders of plugins one that can be written") {
  const auto place = [](const test::Files& files) {
    const auto all = choice(files);
    return all.substr(0, all.find('\n')).substr(std::string("/etc/cni/net.d ").size());
  };
  const std::pair<const std::string, std::string> file{
      crio, "[crio.network]\nplugin_dirs = ['/usr/libexec/cni', '/opt/cni/bin', '/run/cni/bin']\n"};
  const std::pair<const std::string, std::string> read_only{"/usr/libexec/cni/", "read-only"};
  CHECK(place({file, {"/usr/libexec/cni/", ""}, {"/opt/cni/bin/", ""}}) == "/usr/libexec/cni");
  CHECK(place({file, read_only, {"/opt/cni/bin/", ""}}) == "/opt/cni/bin");
  CHECK(place({file, read_only, {"/run/cni/bin/", ""}}) == "/run/cni/bin");
  CHECK(place({file, read_only}) == "/opt/cni/bin");
  CHECK(place({file}) == "/usr/libexec/cni");
  CHECK(place({file, read_only, {"/usr/libexec/cni/ip-masq", ""}, {"/opt/cni/bin/", ""}}) ==
        "/usr/libexec/cni");
  CHECK(place({file, read_only, {"/opt/cni/bin/", "read-only"}, {"/run/cni/bin/", "read-only"}}) ==
        "/usr/libexec/cni");
}

}  // namespace ipmasq::runtime
