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

// The table of networks of a file.
struct Table {
  std::string path;
  cni::Json network;
};

std::vector<Table> tables_of(const NodeFiles& files) {
  std::vector<Table> tables;
  for (const auto& path : files_of(files)) {
    const auto text = files.text_of(path);
    if (!text) continue;
    const auto file = parse_toml(*text, path.string());
    const auto network = file.find("network");
    if (network != file.end() && network->is_object()) tables.push_back({path.string(), *network});
  }
  return tables;
}

void find_backend(const std::vector<Table>& tables, const NodeFiles& files, Podman& podman) {
  for (const auto& [path, network] : tables) {
    const auto backend = network.find("network_backend");
    if (backend == network.end() || !backend->is_string() || *backend == cni::Json("")) continue;
    podman.backend = backend->get<std::string>();
    podman.backend_said_by = "network_backend in " + path;
  }
  if (!podman.backend.empty()) return;
  if (const auto text = files.text_of(chosen_backend)) {
    podman.backend = text->substr(0, text->find_first_of(" \n"));
    podman.backend_said_by = chosen_backend;
  }
}

// A table among the paths says whether they come behind those of the files before: {append=true}.
void take_plugins(const Table& table, Folders& folders) {
  constexpr auto key = "cni_plugin_dirs";
  auto network = table.network;
  bool appends = false;
  if (const auto list = network.find(key); list != network.end() && list->is_array()) {
    auto paths = cni::Json::array();
    for (const auto& each : *list) {
      if (each.is_object()) {
        appends = each.value("append", cni::Json()) == cni::Json(true);
      } else {
        paths.push_back(each);
      }
    }
    *list = std::move(paths);
  }
  auto several = folders_in(network, key, table.path);
  if (several.empty()) return;
  const auto said_by = std::string(key) + " in " + table.path;
  if (appends) {
    several.insert(several.begin(), folders.plugins.begin(), folders.plugins.end());
    folders.plugins_said_by += ", " + said_by;
  } else {
    folders.plugins_said_by = said_by;
  }
  folders.plugins = std::move(several);
}

void take_folders(const Table& table, Folders& folders) {
  if (auto folder = folder_in(table.network, "network_config_dir", table.path)) {
    folders.networks = std::move(*folder);
    folders.networks_said_by = "network_config_dir in " + table.path;
  }
  take_plugins(table, folders);
}

}  // namespace

Podman read_podman(const NodeFiles& files) {
  Podman podman{.folders = {.networks = "/etc/cni/net.d",
                            .plugins = {"/usr/local/libexec/cni", "/usr/libexec/cni", "/usr/local/lib/cni",
                                        "/usr/lib/cni", "/opt/cni/bin"},
                            .networks_said_by = built,
                            .plugins_said_by = built}};
  const auto tables = tables_of(files);
  find_backend(tables, files, podman);
  // Another back end's do not matter, whatever is written there.
  if (!podman.backend.empty() && podman.backend != "cni") return podman;
  for (const auto& table : tables) take_folders(table, podman.folders);
  return podman;
}

}  // namespace ipmasq::runtime
