#include "runtime/containerd.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <vector>

#include "error/error.hpp"
#include "runtime/toml.hpp"

namespace ipmasq::runtime {

namespace {

namespace fs = std::filesystem;

// Of the versions of the file from 1 on; the last goes for all that follow.
constexpr std::array cri_plugins{"cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"};

constexpr std::size_t most_files = 64;

const cni::Json& inner(const cni::Json& table, const std::string& key) {
  static const cni::Json none = cni::Json::object();
  const auto found = table.find(key);
  return found != table.end() && found->is_object() ? *found : none;
}

std::vector<std::string> texts_in(const cni::Json& table, const char* key) {
  std::vector<std::string> texts;
  const auto found = table.find(key);
  if (found == table.end() || !found->is_array()) return texts;
  for (const auto& each : *found) {
    if (each.is_string()) texts.push_back(each.get<std::string>());
  }
  return texts;
}

std::string cri_plugin_of(const cni::Json& file) {
  const auto found = file.find("version");
  const auto version = found != file.end() && found->is_number_integer() ? found->get<std::int64_t>() : 1;
  return cri_plugins.at(static_cast<std::size_t>(std::clamp<std::int64_t>(version, 1, cri_plugins.size())) -
                        1);
}

class Reader {
 public:
  Reader(const NodeFiles& files, const Replaced& replaced) : files_(files), replaced_(replaced) {}

  // False where there is no such file.
  bool read(const fs::path& path) {
    auto text = files_.text_of(path);
    if (!text) return false;
    if (!read_.insert(path).second) return true;
    if (read_.size() > most_files)
      throw Error(Kind::wrong_config, path.string() + " is one of more than 64 files that are imported");
    replace(*text);
    const auto file = parse_toml(*text, path.string());
    take(file, path.string());
    for (const auto& pattern : texts_in(file, "imports")) import(path.parent_path() / pattern);
    return true;
  }

  Containerd found() const { return found_; }

 private:
  void replace(std::string& text) const {
    const auto& [from, to] = replaced_;
    if (from.empty()) return;
    for (auto place = text.find(from); place != std::string::npos; place = text.find(from, place + to.size()))
      text.replace(place, from.size(), to);
  }

  void take(const cni::Json& file, const std::string& path) {
    for (const auto& disabled : texts_in(file, "disabled_plugins")) {
      if (std::ranges::find(cri_plugins, disabled) != cri_plugins.end()) found_.runs_pods = false;
    }
    const auto& cni = inner(inner(inner(file, "plugins"), cri_plugin_of(file)), "cni");
    auto& folders = found_.folders;
    if (auto folder = folder_in(cni, "conf_dir", path)) {
      folders.networks = std::move(*folder);
      folders.networks_said_by = "conf_dir in " + path;
    }
    if (auto folder = folder_in(cni, "bin_dir", path)) {
      folders.plugins = {std::move(*folder)};
      folders.plugins_said_by = "bin_dir in " + path;
    }
    if (auto several = folders_in(cni, "bin_dirs", path); !several.empty()) {
      folders.plugins = std::move(several);
      folders.plugins_said_by = "bin_dirs in " + path;
    }
  }

  // As containerd reads it, a pattern in the last part of the path alone.
  void import(const fs::path& pattern) {
    const auto normal = pattern.lexically_normal();
    const auto last = normal.filename().string();
    if (last.find_first_of("*?[") == std::string::npos) {
      read(normal);
      return;
    }
    for (const auto& name : files_.names_in(normal.parent_path())) {
      if (::fnmatch(last.c_str(), name.c_str(), 0) == 0) read(normal.parent_path() / name);
    }
  }

  const NodeFiles& files_;
  const Replaced& replaced_;
  Containerd found_;
  std::set<fs::path> read_;
};

}  // namespace

std::optional<Containerd> read_containerd(const NodeFiles& files, const fs::path& path,
                                          const Replaced& replaced) {
  Reader reader(files, replaced);
  if (!reader.read(path)) return std::nullopt;
  auto found = reader.found();
  auto& folders = found.folders;
  const auto built = "as containerd is built, " + path.string() + " names none";
  if (folders.networks.empty()) {
    folders.networks = containerd_networks;
    folders.networks_said_by = built;
  }
  if (folders.plugins.empty()) {
    folders.plugins = {containerd_plugins};
    folders.plugins_said_by = built;
  }
  return found;
}

}  // namespace ipmasq::runtime
