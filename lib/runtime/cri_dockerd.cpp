#include "runtime/cri_dockerd.hpp"

#include <string>
#include <vector>

#include "runtime/unit_folders.hpp"

namespace ipmasq::runtime {

namespace {

constexpr auto networks_flag = "cni-conf-dir";
constexpr auto plugins_flag = "cni-bin-dir";
constexpr auto cache_flag = "cni-cache-dir";

// As its own package has it, kubespray's and minikube's.
const std::vector<std::string>& units() {
  static const std::vector<std::string> names{"cri-docker.service", "cri-dockerd.service"};
  return names;
}

}  // namespace

Folders read_cri_dockerd(const std::string& told, const NodeFiles& files) {
  const auto built = "as cri-dockerd is built, whose socket the kubelet is told in " + told;
  Folders folders{"/etc/cni/net.d", {"/opt/cni/bin"}, built, built};
  take_networks(units(), networks_flag, files, folders);
  take_plugins(units(), plugins_flag, files, folders);
  return folders;
}

std::optional<std::filesystem::path> cache_of_cri_dockerd(const NodeFiles& files) {
  const auto folder = path_of_option(units(), {cache_flag}, files);
  return folder ? std::optional(*folder / "results") : std::nullopt;
}

}  // namespace ipmasq::runtime
