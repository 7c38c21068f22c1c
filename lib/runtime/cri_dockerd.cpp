#include "runtime/cri_dockerd.hpp"

#include <sstream>
#include <utility>

#include "cni/json.hpp"
#include "runtime/unit.hpp"

namespace ipmasq::runtime {

namespace {

constexpr auto networks_flag = "cni-conf-dir";
constexpr auto plugins_flag = "cni-bin-dir";
constexpr auto cache_flag = "cni-cache-dir";

// As its own package has it, kubespray's and minikube's.
std::optional<UnitOption> option(const char* flag, const NodeFiles& files) {
  return option_of({"cri-docker.service", "cri-dockerd.service"}, {flag}, files);
}

cni::Json with_commas(const std::string& value) {
  auto list = cni::Json::array();
  std::istringstream stream(value);
  for (std::string each; std::getline(stream, each, ',');) {
    if (!each.empty()) list.push_back(each);
  }
  return list;
}

}  // namespace

Folders read_cri_dockerd(const std::string& told, const NodeFiles& files) {
  const auto built = "as cri-dockerd is built, whose socket the kubelet is told in " + told;
  Folders folders{"/etc/cni/net.d", {"/opt/cni/bin"}, built, built};
  if (const auto said = option(networks_flag, files)) {
    if (auto folder = folder_in({{networks_flag, said->value}}, networks_flag, said->said_by)) {
      folders.networks = std::move(*folder);
      folders.networks_said_by = std::string(networks_flag) + " in " + said->said_by;
    }
  }
  if (const auto said = option(plugins_flag, files)) {
    auto several = folders_in({{plugins_flag, with_commas(said->value)}}, plugins_flag, said->said_by);
    if (!several.empty()) {
      folders.plugins = std::move(several);
      folders.plugins_said_by = std::string(plugins_flag) + " in " + said->said_by;
    }
  }
  return folders;
}

std::optional<std::filesystem::path> cache_of_cri_dockerd(const NodeFiles& files) {
  const auto said = option(cache_flag, files);
  if (!said) return std::nullopt;
  const auto folder = folder_in({{cache_flag, said->value}}, cache_flag, said->said_by);
  return folder ? std::optional(*folder / "results") : std::nullopt;
}

}  // namespace ipmasq::runtime
