#include "runtime/rancher.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "config/yaml.hpp"
#include "runtime/folders.hpp"
#include "runtime/unit.hpp"

namespace ipmasq::runtime {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view key = "data-dir";
constexpr auto containerd_file = "agent/etc/containerd/config.toml";

// The file's table with this one key, as far as it says it.
cni::Json said_in(const std::string& text, const fs::path& path) {
  auto said = cni::Json::object();
  if (text.find(key) == std::string::npos) return said;  // nor may anything else be wrong for us
  const auto file = config::parse_yaml(text, path);
  if (!file || file->kind != config::YamlNode::Kind::map) return said;
  for (std::size_t at = 0; at + 1 < file->items.size(); at += 2) {
    const auto& value = *file->items[at + 1];
    if (file->items[at]->text != key) continue;
    said[std::string(key)] =
        value.kind == config::YamlNode::Kind::scalar ? cni::Json(value.text) : cni::Json();
  }
  return said;
}

std::vector<std::string> units_of(const std::string& name) {
  return {name + ".service", name + "-server.service", name + "-agent.service"};
}

// "K3S_DATA_DIR"
std::string variable_for(const std::string& name, const char* what) {
  return (name == "k3s" ? "K3S_" : "RKE2_") + std::string(what);
}

// What a unit says is a path, as everybody writes it.
std::optional<fs::path> path_of(const std::optional<UnitOption>& said, std::string_view name) {
  if (!said) return std::nullopt;
  return folder_in({{std::string(name), said->value}}, std::string(name).c_str(), said->said_by);
}

fs::path data_of(const std::string& name, const NodeFiles& files) {
  fs::path data = "/var/lib/rancher/" + name;
  // Before v1.30.3 the variable was not read (k3s-io/k3s#10589).
  const auto variable = variable_for(name, "DATA_DIR");
  if (auto folder = path_of(variable_of(units_of(name), variable, files), variable);
      folder && files.is_there(*folder / containerd_file))
    data = std::move(*folder);
  for (const auto& path : rancher_settings(name, files)) {
    const auto text = files.text_of(path);
    if (!text) continue;
    if (const auto folder = folder_in(said_in(*text, path), key.data(), path.string())) data = *folder;
  }
  // What its unit is started with counts more.
  return path_of(rancher_option(name, {std::string(key), "d"}, files), key).value_or(data);
}

}  // namespace

std::optional<UnitOption> rancher_option(const std::string& of, const std::vector<std::string>& names,
                                         const NodeFiles& files) {
  return option_of(units_of(of), names, files);
}

std::vector<fs::path> rancher_settings(const std::string& of, const NodeFiles& files) {
  auto said = rancher_option(of, {"config", "c"}, files);
  if (!said) said = variable_of(units_of(of), variable_for(of, "CONFIG_FILE"), files);
  const auto file = path_of(said, "config").value_or(fs::path("/etc/rancher") / of / "config.yaml");
  const fs::path folder = file.string() + ".d";
  std::vector<fs::path> paths{file};
  for (const auto& name : files.names_in(folder)) {
    if (name.ends_with(".yaml") || name.ends_with(".yml")) paths.push_back(folder / name);
  }
  return paths;
}

K3s find_k3s(const NodeFiles& files) {
  const auto data = data_of("k3s", files);
  return {.containerd_file = data / containerd_file,
          .networks = data / "agent/etc/cni/net.d",
          .plugins = data / "data/cni",
          .version = data / "data/current",
          .older_plugins = data / "data/current/bin"};
}

fs::path containerd_file_of_rke2(const NodeFiles& files) {
  return data_of("rke2", files) / containerd_file;
}

}  // namespace ipmasq::runtime
