#include <doctest/doctest.h>

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

}  // namespace ipmasq::runtime
