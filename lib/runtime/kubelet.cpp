#include "runtime/kubelet.hpp"

#include <array>
#include <sstream>
#include <string_view>

namespace ipmasq::runtime {

namespace {

// What comes later counts more.
constexpr std::array kubelet_files{
    "/home/kubernetes/kubelet-config.yaml",  "/var/lib/kubelet/config/kubelet",
    "/var/lib/kubelet/kubelet-config.yaml",  "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/instance-config.yaml", "/var/lib/kubelet/kubeadm-flags.env"};

constexpr std::array<std::string_view, 2> keys{"containerRuntimeEndpoint", "container-runtime-endpoint"};

}  // namespace

std::optional<std::string> endpoint_in(const std::string& text) {
  constexpr std::string_view around = " \t\r\"'=:,";
  std::optional<std::string> endpoint;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find_first_not_of(" \t");
    if (first == std::string::npos || line[first] == '#') continue;
    for (const auto key : keys) {
      const auto place = line.rfind(key);
      if (place == std::string::npos) continue;
      const auto begin = line.find_first_not_of(around, place + key.size());
      if (begin == std::string::npos) continue;
      endpoint = line.substr(begin, line.find_first_of(" \t\r\"',}", begin) - begin);
    }
  }
  return endpoint;
}

std::optional<Kubelet> read_kubelet(const NodeFiles& files) {
  std::optional<Kubelet> kubelet;
  for (const auto* const path : kubelet_files) {
    const auto text = files.text_of(path);
    if (!text) continue;
    if (!kubelet) kubelet.emplace();
    if (auto endpoint = endpoint_in(*text); endpoint && !endpoint->empty())
      *kubelet = {std::move(*endpoint), path};
  }
  return kubelet;
}

}  // namespace ipmasq::runtime
