#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "runtimes.hpp"

namespace ipmasq::runtime {

TEST_CASE("auto: a kubelet that is told another's socket") {
  const auto docker = [](const std::string& path) {
    const auto built = "as cri-dockerd is built, whose socket the kubelet is told in " + path;
    return "/etc/cni/net.d /opt/cni/bin\nkubeadm: networks in /etc/cni/net.d (" + built +
           "), plugins in /opt/cni/bin (" + built + ")";
  };
  const std::string flags = "/var/lib/kubelet/kubeadm-flags.env";
  for (const auto* const text :
       {"containerRuntimeEndpoint: unix:///var/run/cri-dockerd.sock\n",
        "containerRuntimeEndpoint: ''\n\"containerRuntimeEndpoint\": 'unix:///run/cri-dockerd.sock'\n",
        "{\"a\": 1, \"containerRuntimeEndpoint\":\"unix:///run/cri-dockerd.sock\"}"})
    CHECK(choice({{kubelet, text}, {containerd, debian_text}}) == docker(kubelet));
  CHECK(choice({{kubelet, "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n"},
                {flags,
                 "KUBELET_KUBEADM_ARGS=\"--x=1 --container-runtime-endpoint=unix:///var/run/cri-dockerd.sock "
                 "--y=2\"\n"},
                {containerd, debian_text}}) == docker(flags));
  CHECK(choice({{kubelet, "# containerRuntimeEndpoint: unix:///var/run/cri-dockerd.sock\n"},
                {containerd, debian_text}})
            .starts_with("/etc/cni/net.d /usr/lib/cni\nkubeadm: "));
}

TEST_CASE("auto: cri-dockerd's own flags, in its unit") {
  const auto chosen = [](const std::vector<std::pair<std::string, std::string>>& units) {
    test::Files files{{kubelet, "containerRuntimeEndpoint: unix:///var/run/cri-dockerd.sock\n"}};
    for (const auto& [path, text] : units) files.put(path, text);
    return choice(files);
  };
  const auto told = [](const std::string& networks, const std::string& networks_by,
                       const std::string& plugins, const std::string& plugins_by) {
    const std::string built =
        "as cri-dockerd is built, whose socket the kubelet is told in " + std::string(kubelet);
    return networks + " " + plugins.substr(0, plugins.find(' ')) + "\nkubeadm: networks in " + networks +
           " (" + (networks_by.empty() ? built : "cni-conf-dir in " + networks_by) + "), plugins in " +
           plugins + " (" + (plugins_by.empty() ? built : "cni-bin-dir in " + plugins_by) + ")";
  };
  const std::string unit = "/lib/systemd/system/cri-docker.service";
  const std::string drop_in = "/etc/systemd/system/cri-docker.service.d/10-cni.conf";
  const std::string plain = "[Service]\nExecStart=/usr/bin/cri-dockerd --container-runtime-endpoint fd://\n";
  const std::string flags =
      "[Service]\nExecStart=\nExecStart=/usr/bin/cri-dockerd --container-runtime-endpoint fd:// \\\n"
      "  --cni-bin-dir=/usr/lib/cni,/opt/cni/bin '--cni-conf-dir' \"/etc/cni/net.mk\"\n";
  CHECK(chosen({{unit, plain}}) == told("/etc/cni/net.d", "", "/opt/cni/bin", ""));
  CHECK(chosen({{unit, plain}, {drop_in, flags}}) ==
        told("/etc/cni/net.mk", drop_in, "/usr/lib/cni or /opt/cni/bin", drop_in));
  CHECK(chosen({{unit, flags}, {drop_in, plain}}) == told("/etc/cni/net.d", "", "/opt/cni/bin", ""));
  CHECK(chosen({{drop_in, flags}}) == told("/etc/cni/net.d", "", "/opt/cni/bin", ""));  // of no unit
  CHECK(chosen({{unit, flags}, {"/etc/systemd/system/cri-docker.service", plain}}) ==
        told("/etc/cni/net.d", "", "/opt/cni/bin", ""));
  const std::string other = "/etc/systemd/system/cri-dockerd.service";
  CHECK(chosen({{other,
                 "[Service]\n# ExecStart=x --cni-bin-dir=/no\nExecStart = /bin/cri-dockerd --cni-bin-dir "
                 "/b\n"}}) == told("/etc/cni/net.d", "", "/b", other));
  CHECK(chosen({{other,
                 "[Service]\n  # ExecStart=/bin/cri-dockerd \\\n;x \\\nExecStart=/bin/cri-dockerd \\\n"
                 "# --cni-bin-dir=/no \\\n --cni-bin-dir=/b \\\n;--cni-bin-dir=/no\n --v=1\n"}}) ==
        told("/etc/cni/net.d", "", "/b", other));
  CHECK(chosen({{other, "[Service]\nExecStart=/bin/cri-dockerd --cni-conf-dir=$DIR\n"}}) ==
        "refused: " + other +
            ": cni-conf-dir is \"$DIR\": expected an absolute path\n"
            "mend it, or write the folders: --conf-dir DIR --bin-dir DIR");
}

}  // namespace ipmasq::runtime
