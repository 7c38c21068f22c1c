#include "runtime/crio.hpp"

#include <string>
#include <utility>
#include <vector>

#include "error/error.hpp"
#include "runtime/toml.hpp"

namespace ipmasq::runtime {

namespace {

namespace fs = std::filesystem;

constexpr auto main_file = "/etc/crio/crio.conf";
constexpr auto more_files = "/etc/crio/crio.conf.d";
constexpr auto built_networks = "/etc/cni/net.d";
constexpr auto built_plugins = "/opt/cni/bin";

struct Found {
  Folders folders;
  std::optional<fs::path> older_key = {};  // plugin_dir: searched after those of plugin_dirs
  std::string older_key_in = {};
};

// Empty where there is none.
cni::Json table_in(const cni::Json& table, const char* key, const std::string& path) {
  const auto found = table.find(key);
  if (found == table.end()) return cni::Json::object();
  if (!found->is_object())
    throw Error(Kind::wrong_config, path + ": " + key + " is " + found->dump() + ": expected a table");
  return *found;
}

void take(const cni::Json& file, const std::string& path, Found& found) {
  auto& folders = found.folders;
  const auto network = table_in(table_in(file, "crio", path), "network", path);
  if (auto folder = folder_in(network, "network_dir", path)) {
    folders.networks = std::move(*folder);
    folders.networks_said_by = "network_dir in " + path;
  }
  if (auto several = folders_in(network, "plugin_dirs", path); !several.empty()) {
    folders.plugins = std::move(several);
    folders.plugins_said_by = "plugin_dirs in " + path;
  }
  if (auto folder = folder_in(network, "plugin_dir", path)) {
    found.older_key = std::move(folder);
    found.older_key_in = path;
  }
}

}  // namespace

std::optional<Folders> read_crio(const NodeFiles& files) {
  std::vector<fs::path> paths{main_file};
  for (const auto& name : files.names_in(more_files)) paths.push_back(fs::path(more_files) / name);
  Found found;
  std::string last;
  for (const auto& path : paths) {
    const auto text = files.text_of(path);
    if (!text) continue;
    last = path.string();
    take(parse_toml(*text, last), last, found);
  }
  if (last.empty()) return std::nullopt;
  auto& folders = found.folders;
  const std::string built = "as CRI-O is built, no file of /etc/crio names another";
  if (folders.networks.empty()) {
    folders.networks = built_networks;
    folders.networks_said_by = built;
  }
  if (folders.plugins.empty()) {
    folders.plugins = {built_plugins};
    folders.plugins_said_by = built;
  }
  if (found.older_key) {
    folders.plugins.push_back(*found.older_key);
    folders.plugins_said_by += ", plugin_dir in " + found.older_key_in;
  }
  return folders;
}

}  // namespace ipmasq::runtime
