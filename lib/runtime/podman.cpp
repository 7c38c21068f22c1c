#include "runtime/podman.hpp"

#include <utility>
#include <vector>

#include "runtime/toml.hpp"

namespace ipmasq::runtime {

namespace {

namespace fs = std::filesystem;

// What podman found at its first start, in its storage.
constexpr auto chosen_backend = "/var/lib/containers/storage/defaultNetworkBackend";
constexpr auto built = "as podman is built, no containers.conf names another";

std::vector<fs::path> files_of(const NodeFiles& files) {
  std::vector<fs::path> paths;
  for (const fs::path folder : {"/usr/share/containers", "/etc/containers"}) {
    paths.push_back(folder / "containers.conf");
    for (const auto& name : files.names_in(folder / "containers.conf.d")) {
      if (name.ends_with(".conf")) paths.push_back(folder / "containers.conf.d" / name);
    }
  }
  return paths;
}

void take(const cni::Json& file, const std::string& path, Podman& podman) {
  const auto network = file.find("network");
  if (network == file.end() || !network->is_object()) return;
  auto& folders = podman.folders;
  const auto backend = network->find("network_backend");
  if (backend != network->end() && backend->is_string() && *backend != cni::Json("")) {
    podman.backend = backend->get<std::string>();
    podman.backend_said_by = "network_backend in " + path;
  }
  if (auto folder = folder_in(*network, "network_config_dir", path)) {
    folders.networks = std::move(*folder);
    folders.networks_said_by = "network_config_dir in " + path;
  }
  if (auto several = folders_in(*network, "cni_plugin_dirs", path); !several.empty()) {
    folders.plugins = std::move(several);
    folders.plugins_said_by = "cni_plugin_dirs in " + path;
  }
}

}  // namespace

Podman read_podman(const NodeFiles& files) {
  Podman podman{.folders = {.networks = "/etc/cni/net.d",
                            .plugins = {"/usr/local/libexec/cni", "/usr/libexec/cni", "/usr/local/lib/cni",
                                        "/usr/lib/cni", "/opt/cni/bin"},
                            .networks_said_by = built,
                            .plugins_said_by = built}};
  for (const auto& path : files_of(files)) {
    if (const auto text = files.text_of(path)) take(parse_toml(*text, path.string()), path.string(), podman);
  }
  if (!podman.backend.empty()) return podman;
  if (const auto text = files.text_of(chosen_backend)) {
    podman.backend = text->substr(0, text->find_first_of(" \n"));
    podman.backend_said_by = chosen_backend;
  }
  return podman;
}

}  // namespace ipmasq::runtime
