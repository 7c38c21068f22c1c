#include <doctest/doctest.h>

#include "runtimes.hpp"

namespace ipmasq::runtime {

TEST_CASE("auto: podman, where it runs CNI plugins") {
  const std::string built = "as podman is built, no containers.conf names another";
  const std::string folders =
      "/usr/local/libexec/cni or /usr/libexec/cni or /usr/local/lib/cni or /usr/lib/cni or /opt/cni/bin";
  CHECK(choice({{"/var/lib/containers/storage/defaultNetworkBackend", "cni"}, {"/usr/lib/cni/", ""}}) ==
        "/etc/cni/net.d /usr/lib/cni\npodman: networks in /etc/cni/net.d (" + built + "), plugins in " +
            folders + " (" + built + ")");
  CHECK(
      choice({{"/usr/share/containers/containers.conf", "[network]\nnetwork_backend = 'netavark'\n"},
              {podman, "[network]\nnetwork_backend = 'cni'\nnetwork_config_dir = '/srv/net.d/'\n"},
              {"/etc/containers/containers.conf.d/1.conf", "[network]\ncni_plugin_dirs = ['/srv/bin']\n"}}) ==
      "/srv/net.d /srv/bin\n"
      "podman: networks in /srv/net.d (network_config_dir in /etc/containers/containers.conf), plugins in "
      "/srv/bin (cni_plugin_dirs in /etc/containers/containers.conf.d/1.conf)");
}

TEST_CASE("auto: podman's lists that go on, and folders of a back end that it does not use") {
  const auto of = [](const std::string& text, const std::string& more) {
    return choice({{kubelet, kubelet_text},
                   {containerd, debian_text},
                   {podman, text},
                   {"/etc/containers/containers.conf.d/1.conf", more}});
  };
  const std::string of_debian =
      "/etc/cni/net.d /usr/lib/cni\nkubeadm: networks in /etc/cni/net.d (conf_dir in "
      "/etc/containerd/config.toml), plugins in /usr/lib/cni (bin_dir in /etc/containerd/config.toml)";
  for (const auto* const plugins : {"['/opt/x/cni', {append=true}]", "7", "['x']"}) {
    CHECK(of("[network]\nnetwork_backend = 'netavark'\nnetwork_config_dir = '~/.config/cni'\n",
             std::string("[network]\ncni_plugin_dirs = ") + plugins + "\n") == of_debian);
  }
  const std::string cni = "[network]\nnetwork_backend = 'cni'\ncni_plugin_dirs = ['/usr/lib/cni', '/a']\n";
  const auto plugins = [&](const std::string& list) {
    const auto all =
        choice({{podman, cni},
                {"/etc/containers/containers.conf.d/1.conf", "[network]\ncni_plugin_dirs = " + list + "\n"}});
    return all.substr(all.find(", plugins in ") + 13);
  };
  CHECK(plugins("['/b', {append=true}]") ==
        "/usr/lib/cni or /a or /b (cni_plugin_dirs in /etc/containers/containers.conf, cni_plugin_dirs in "
        "/etc/containers/containers.conf.d/1.conf)");
  CHECK(plugins("['/b', {append=false}]") ==
        "/b (cni_plugin_dirs in /etc/containers/containers.conf.d/1.conf)");
  CHECK(plugins("[{append=true}]") ==
        "/usr/lib/cni or /a (cni_plugin_dirs in /etc/containers/containers.conf)");
}

}  // namespace ipmasq::runtime
