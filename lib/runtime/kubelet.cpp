#include "runtime/kubelet.hpp"

#include <array>
#include <sstream>
#include <string_view>
#include <utility>

#include "error/error.hpp"
#include "runtime/unit.hpp"

namespace ipmasq::runtime {

namespace {

// What comes later counts more.
constexpr std::array kubelet_files{"/home/kubernetes/kubelet-config.yaml", "/var/lib/kubelet/config/kubelet",
                                   "/var/lib/kubelet/kubelet-config.yaml", "/var/lib/kubelet/config.yaml",
                                   "/var/lib/kubelet/instance-config.yaml"};
constexpr auto flags_file = "/var/lib/kubelet/kubeadm-flags.env";
constexpr auto unit = "kubelet.service";

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
  const auto read = [&](const std::string& path) {
    const auto text = files.text_of(path);
    if (!text) return;
    if (!kubelet) kubelet.emplace();
    if (auto endpoint = endpoint_in(*text); endpoint && !endpoint->empty())
      *kubelet = {std::move(*endpoint), path};
  };
  for (const auto* const path : kubelet_files) read(path);
  const bool has_files = kubelet || files.is_there(flags_file);
  if (!has_files && !is_in_use(unit, files)) return kubelet;  // a unit alone may be what is left of one
  try {
    if (const auto config = option_of({unit}, {"config"}, files)) read(config->value);
    read(flags_file);
    const auto said = option_of({unit}, {std::string(keys.back())}, files);
    if (said && !said->value.empty()) kubelet = {said->value, said->said_by};
  } catch (const Error&) {
    read(flags_file);
    if (!kubelet || kubelet->endpoint.empty()) throw;  // else who writes that file means it
  }
  return kubelet;
}

}  // namespace ipmasq::runtime
