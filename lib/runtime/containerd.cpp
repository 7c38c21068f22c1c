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

std::int64_t version_of(const cni::Json& file) {
  const auto found = file.find("version");
  return found != file.end() && found->is_number_integer() ? found->get<std::int64_t>() : 1;
}

std::string cri_plugin_of(std::int64_t version) {
  return cri_plugins.at(static_cast<std::size_t>(std::clamp<std::int64_t>(version, 1, cri_plugins.size())) -
                        1);
}

Folders completed(Folders folders, const fs::path& path) {
  const auto built = "as containerd is built, " + path.string() + " names none";
  if (folders.networks.empty()) {
    folders.networks = containerd_networks;
    folders.networks_said_by = built;
  }
  if (folders.plugins.empty()) {
    folders.plugins = {containerd_plugins};
    folders.plugins_said_by = built;
  }
  return folders;
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

  // Throws Error where it depends on containerd's version what the files say.
  Containerd found(const fs::path& path) const {
    const auto merged = completed(merged_, path);
    const auto replaced = completed(replaced_by_import_, path);
    const bool is_same = merged.networks == replaced.networks && merged.plugins == replaced.plugins;
    if (!is_of_containerd_2_ && !is_same) {
      throw Error(
          Kind::wrong_config,
          "containerd 1 and 2 do not read the same in what " + path.string() +
              " imports: where an imported file has the table of the CRI plugin, containerd 1 forgets "
              "what others say of that plugin. 1: " +
              replaced.to_text() + "; 2: " + merged.to_text(),
          "write conf_dir and bin_dir into the file that is imported last, or say which are meant: "
          "--conf-dir DIR --bin-dir DIR");
    }
    return {runs_pods_, merged};
  }

 private:
  void replace(std::string& text) const {
    const auto& [from, to] = replaced_;
    if (from.empty()) return;
    for (auto place = text.find(from); place != std::string::npos; place = text.find(from, place + to.size()))
      text.replace(place, from.size(), to);
  }

  void take(const cni::Json& file, const std::string& path) {
    for (const auto& disabled : texts_in(file, "disabled_plugins")) {
      if (std::ranges::find(cri_plugins, disabled) != cri_plugins.end()) runs_pods_ = false;
    }
    const auto version = version_of(file);
    if (read_.size() == 1) is_of_containerd_2_ = version > 2;
    const auto& plugins = inner(file, "plugins");
    const auto plugin = cri_plugin_of(version);
    if (plugins.contains(plugin)) replaced_by_import_ = {};
    const auto& cni = inner(inner(plugins, plugin), "cni");
    take_own_networks(inner(inner(inner(plugins, plugin), "containerd"), "runtimes"), path);
    take(cni, path, merged_);
    take(cni, path, replaced_by_import_);
  }

  void take_own_networks(const cni::Json& runtimes, const std::string& path) {
    auto& all = merged_.own_networks;
    for (const auto& [name, runtime] : runtimes.items()) {
      if (!runtime.is_object()) continue;
      if (auto folder = folder_in(runtime, "cni_conf_dir", path)) {
        std::erase_if(all, [&name = name](const OwnNetworks& each) { return each.runtime == name; });
        all.push_back({name, std::move(*folder), "cni_conf_dir in " + path});
      }
    }
  }

  static void take(const cni::Json& cni, const std::string& path, Folders& folders) {
    if (auto folder = folder_in(cni, "conf_dir", path)) {
      folders.networks = std::move(*folder);
      folders.networks_said_by = "conf_dir in " + path;
    }
    const auto one = folder_in(cni, "bin_dir", path);
    if (one) {
      folders.plugins = {*one};
      folders.plugins_said_by = "bin_dir in " + path;
    }
    // Its own list beside a folder that somebody wrote does not count.
    const std::vector<fs::path> default_list{"/opt/cni/bin"};
    auto several = folders_in(cni, "bin_dirs", path);
    if (!several.empty() && !(one && several == default_list)) {
      folders.plugins = std::move(several);
      folders.plugins_said_by = "bin_dirs in " + path;
    }
  }

  // A path with a star is a pattern, in each of its parts; filepath.Glob.
  void import(const fs::path& pattern) {
    const auto normal = pattern.lexically_normal();
    if (normal.native().find('*') == std::string::npos) {
      read(normal);
      return;
    }
    const auto relative = normal.relative_path();
    import_matches(normal.root_path(), {relative.begin(), relative.end()});
  }

  void import_matches(const fs::path& folder, const std::vector<fs::path>& parts) {
    const auto& part = parts.front().native();
    const std::vector<fs::path> rest(parts.begin() + 1, parts.end());
    if (part.find_first_of("*?[\\") == std::string::npos) {
      rest.empty() ? static_cast<void>(read(folder / part)) : import_matches(folder / part, rest);
      return;
    }
    for (const auto& name : rest.empty() ? files_.names_in(folder) : files_.folders_in(folder)) {
      if (::fnmatch(part.c_str(), name.c_str(), 0) != 0) continue;
      rest.empty() ? static_cast<void>(read(folder / name)) : import_matches(folder / name, rest);
    }
  }

  const NodeFiles& files_;
  const Replaced& replaced_;
  bool runs_pods_ = true;
  bool is_of_containerd_2_ = false;  // no other reads version 3 of the file
  Folders merged_;              // as containerd 2 does with what is imported (containerd's pull request 9982)
  Folders replaced_by_import_;  // as containerd 1 does
  std::set<fs::path> read_;
};

}  // namespace

std::optional<Containerd> read_containerd(const NodeFiles& files, const fs::path& path,
                                          const Replaced& replaced) {
  Reader reader(files, replaced);
  if (!reader.read(path)) return std::nullopt;
  return reader.found(path);
}

}  // namespace ipmasq::runtime
