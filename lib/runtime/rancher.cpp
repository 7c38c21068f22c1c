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

fs::path data_of(const std::string& name, const NodeFiles& files) {
  fs::path data = "/var/lib/rancher/" + name;
  for (const auto& path : rancher_settings(name, files)) {
    const auto text = files.text_of(path);
    if (!text) continue;
    if (const auto folder = folder_in(said_in(*text, path), key.data(), path.string())) data = *folder;
  }
  // What its unit is started with counts more.
  const auto flag =
      option_of({name + ".service", name + "-server.service", name + "-agent.service"}, key, files);
  if (!flag) return data;
  return folder_in({{std::string(key), flag->value}}, key.data(), flag->said_by).value_or(data);
}

}  // namespace

std::vector<fs::path> rancher_settings(const std::string& of, const NodeFiles& files) {
  const auto folder = fs::path("/etc/rancher") / of;
  std::vector<fs::path> paths{folder / "config.yaml"};
  for (const auto& name : files.names_in(folder / "config.yaml.d")) {
    if (name.ends_with(".yaml") || name.ends_with(".yml")) paths.push_back(folder / "config.yaml.d" / name);
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
