#include "runtime/crio.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "error/error.hpp"
#include "runtime/toml.hpp"
#include "runtime/unit.hpp"
#include "runtime/unit_folders.hpp"

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
  const auto name = network.find("cni_default_network");
  if (name != network.end() && name->is_string()) {
    folders.network = name->get<std::string>();
    folders.network_said_by = "cni_default_network in " + path;
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

// As Go's filepath.Walk comes to them: what stands in folders as well, but not behind links to some.
void append_files_below(const fs::path& folder, int depth, const NodeFiles& files,
                        std::vector<fs::path>& paths) {
  constexpr int deepest = 16;
  const auto folders = files.folders_in(folder);
  auto names = files.names_in(folder);
  names.insert(names.end(), folders.begin(), folders.end());
  std::ranges::sort(names);
  for (const auto& name : names) {
    const auto path = folder / name;
    if (!std::ranges::binary_search(folders, name)) {
      paths.push_back(path);
    } else if (files.target_of(path).empty()) {
      if (depth == deepest)
        throw Error(Kind::wrong_config, path.string() + " is deeper than CRI-O's files are read here");
      append_files_below(path, depth + 1, files, paths);
    }
  }
}

}  // namespace

std::optional<Folders> read_crio(const NodeFiles& files) {
  const std::vector<std::string> units{"crio.service", "cri-o.service"};
  std::vector<fs::path> paths{path_of_option(units, {"config", "c"}, files).value_or(main_file)};
  append_files_below(path_of_option(units, {"config-dir", "d"}, files).value_or(more_files), 0, files, paths);
  Found found;
  std::string last;
  for (const auto& path : paths) {
    const auto text = files.text_of(path);
    if (!text) continue;
    last = path.string();
    take(parse_toml(*text, last), last, found);
  }
  auto& folders = found.folders;
  folders.is_crios = true;
  const bool is_told = take_networks(units, "cni-config-dir", files, folders);
  const bool is_told_plugins = take_plugins(units, "cni-plugin-dir", files, folders);
  if (is_told_plugins) found.older_key.reset();
  if (const auto network = option_of(units, {"cni-default-network"}, files)) {
    folders.network = network->value;
    folders.network_said_by = "cni-default-network in " + network->said_by;
  }
  if (last.empty() && !is_told && !is_told_plugins) return std::nullopt;
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
