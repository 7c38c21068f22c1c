#include "runtime/containerd.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "error/error.hpp"
#include "runtime/toml.hpp"

namespace ipmasq::runtime {

namespace {

namespace fs = std::filesystem;

// Of the versions of the file from 1 on; the last goes for all that follow. containerd 1 knows the name of
// its file's version alone; containerd 2 has a later one in an older file as well (its config.go: v1Migrate).
constexpr std::array cri_plugins{"cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"};
constexpr std::int64_t last_version_of_containerd_1 = 2;

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

// nullopt where it says none, which counts as the first.
std::optional<std::int64_t> version_in(const cni::Json& file) {
  const auto found = file.find("version");
  if (found == file.end() || !found->is_number_integer() || *found == 0) return std::nullopt;
  return found->get<std::int64_t>();
}

// A key, as the last of the files says it.
template <typename Value>
struct Said {
  Value value = {};  ///< empty where none says it
  std::string by = {};

  void take(Value said, const char* key, const std::string& path) {
    if (said.empty()) return;
    value = std::move(said);
    by = std::string(key) + " in " + path;
  }
};

// 0 and less: all.
std::optional<MostLists> most_lists_in(const cni::Json& table, const char* key, const std::string& path) {
  const auto found = table.find(key);
  if (found == table.end() || !found->is_number_integer()) return std::nullopt;
  const auto most = found->get<std::int64_t>();
  return MostLists{most > 0 ? static_cast<std::size_t>(most) : MostLists::all,
                   std::string(key) + " in " + path};
}

struct Table {
  MostLists most_lists;
  Said<fs::path> networks;
  Said<fs::path> plugins;                ///< bin_dir
  Said<std::vector<fs::path>> searched;  ///< bin_dirs, since containerd 2.1
};

// Its own list beside a folder that somebody wrote does not count (containerd/containerd#11311).
bool is_built_in(const std::vector<fs::path>& searched) {
  return searched == std::vector<fs::path>{containerd_plugins};
}

// With another list it does not start, whatever is in that.
bool is_refused_by_containerd_2(const Table& table) {
  const auto& several = table.searched.value;
  return !table.plugins.value.empty() && !several.empty() && !is_built_in(several);
}

// What `from` says and `to` does not, as its migration of the file has it; bin_dir becomes bin_dirs, whatever
// those were.
void migrate(const Table& from, Table& to) {
  if (to.networks.value.empty()) to.networks = from.networks;
  if (to.most_lists.said_by.empty()) to.most_lists = from.most_lists;
  if (!from.plugins.value.empty()) {
    to.searched = {{from.plugins.value}, from.plugins.by};
  } else if (to.searched.value.empty()) {
    to.searched = from.searched;
  }
}

enum class Major { one, two };

Folders completed(const Table& table, Major containerd, const fs::path& path) {
  const auto built = "as containerd is built, " + path.string() + " names none";
  Folders folders{containerd_networks, {containerd_plugins}, built, built};
  if (!table.networks.value.empty()) {
    folders.networks = table.networks.value;
    folders.networks_said_by = table.networks.by;
  }
  folders.most_lists = table.most_lists;
  const bool is_one = !table.plugins.value.empty();
  if (is_one) {
    folders.plugins = {table.plugins.value};
    folders.plugins_said_by = table.plugins.by;
  } else if (containerd == Major::two && !table.searched.value.empty()) {
    folders.plugins = table.searched.value;
    folders.plugins_said_by = table.searched.by;
  }
  return folders;
}

bool are_same(const Folders& left, const Folders& right) {
  return left.networks == right.networks && left.plugins == right.plugins;
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

  // Throws Error where it depends on containerd's version what the files say, or where none could run by
  // them.
  Containerd found(const fs::path& path) const {
    const auto merged = merged_by_containerd_2();
    if (!runs_pods_) return {false, completed(merged, Major::two, path)};
    const bool can_be_2 = !is_refused_by_containerd_2(merged);
    if (is_of_containerd_2_ && !can_be_2) throw_two_keys(merged);
    auto of_2 = completed(merged, Major::two, path);
    auto of_1 = completed(of_containerd_1(), Major::one, path);
    if (!is_of_containerd_2_ && can_be_2 && !are_same(of_1, of_2)) throw_difference(path, of_1, of_2);
    auto& folders = can_be_2 ? of_2 : of_1;
    const bool is_forgotten_by_1 = of_1.most_lists.count != of_2.most_lists.count;
    if (can_be_2 && !is_of_containerd_2_ && is_forgotten_by_1)
      folders.most_lists.said_by += " (which containerd 1 forgets for what is imported)";
    for (const auto& [version, own] : own_networks_) {
      const bool is_read = version > last_version_of_containerd_1 || reads_all_tables();
      if (is_read || !is_of_containerd_2_) folders.own_networks.push_back(own);
    }
    for (auto& own : folders.own_networks) {
      if (own.most_lists.said_by.empty()) own.most_lists = folders.most_lists;
    }
    return {true, std::move(folders)};
  }

 private:
  // The last version that a file says is that of all, where it is not 1: by 2 containerd 2 migrates the
  // tables that have names of 2, and those of 3 stand; by 3 nobody reads those of 2.
  bool reads_all_tables() const { return migrated_version_ <= last_version_of_containerd_1; }

  Table merged_by_containerd_2() const {
    auto merged = of_last_name_;
    if (reads_all_tables()) migrate(of_earlier_names_, merged);
    return merged;
  }

  // By the version that the last of the files has that has one.
  const Table& of_containerd_1() const {
    return of_plugin_.at(
        static_cast<std::size_t>(std::clamp<std::int64_t>(version_, 1, last_version_of_containerd_1) - 1));
  }

  [[noreturn]] static void throw_two_keys(const Table& merged) {
    throw Error(Kind::wrong_config,
                merged.plugins.by + " is " + merged.plugins.value.string() + ", and there is " +
                    merged.searched.by + " as well: containerd 2 does not start with both",
                "take one of the two out, or say which is meant: --conf-dir DIR --bin-dir DIR");
  }

  [[noreturn]] void throw_difference(const fs::path& path, const Folders& of_1, const Folders& of_2) const {
    const std::string which = of_1.to_text() + "; 2: " + of_2.to_text();
    const auto reads_alike = [&](const Table& table) {
      return are_same(completed(table, Major::one, path), of_2);
    };
    if (reads_alike(replaced_by_import_)) {
      throw Error(
          Kind::wrong_config,
          "containerd 1 and 2 do not read the same in " + path.string() +
              ": by its version containerd 1 reads [plugins." +
              (version_ == 1 ? "cri" : R"("io.containerd.grpc.v1.cri")") +
              "] alone, containerd 2 a table with a later name as well. 1: " + which,
          R"(write version = 2 and [plugins."io.containerd.grpc.v1.cri"], which both read, or say which are meant: )"
          "--conf-dir DIR --bin-dir DIR");
    }
    if (reads_alike(not_migrated_)) {
      throw Error(
          Kind::wrong_config,
          "containerd 1 and 2 do not read the same in what " + path.string() +
              " imports: where an imported file has the table of the CRI plugin, containerd 1 forgets "
              "what others say of that plugin. 1: " +
              which,
          "write conf_dir and bin_dir into the file that is imported last, or say which are meant: "
          "--conf-dir DIR --bin-dir DIR");
    }
    throw Error(Kind::wrong_config,
                "containerd 1 and 2 do not read the same in " + path.string() +
                    ": containerd 1 knows no bin_dirs. 1: " + which,
                "write bin_dir, which both know, or say which are meant: --conf-dir DIR --bin-dir DIR");
  }

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
    const auto said = version_in(file);
    const auto version = said.value_or(1);
    if (said) version_ = version;
    if (version > 1) migrated_version_ = version;
    if (read_.size() == 1) is_of_containerd_2_ = version > last_version_of_containerd_1;
    const auto& plugins = inner(file, "plugins");
    bool is_first = true;
    for (std::size_t each = 0; each < cri_plugins.size(); ++each) {
      if (!plugins.contains(cri_plugins.at(each))) continue;
      const auto& plugin = inner(plugins, cri_plugins.at(each));
      const auto& cni = inner(plugin, "cni");
      of_plugin_.at(each) = {};
      take(cni, path, of_plugin_.at(each));
      const auto version_of_name = static_cast<std::int64_t>(each) + 1;
      const bool is_last = each + 1 == cri_plugins.size();
      if (!is_last && version_of_name < version) continue;
      if (std::exchange(is_first, false)) replaced_by_import_ = {};
      take(cni, path, replaced_by_import_);
      take_own_networks(inner(inner(plugin, "containerd"), "runtimes"), version_of_name, path);
      take(cni, path, is_last ? of_last_name_ : of_earlier_names_);
      take(cni, path, not_migrated_);
    }
  }

  void take_own_networks(const cni::Json& runtimes, std::int64_t version, const std::string& path) {
    auto& all = own_networks_;
    for (const auto& [name, runtime] : runtimes.items()) {
      if (!runtime.is_object()) continue;
      if (auto folder = folder_in(runtime, "cni_conf_dir", path)) {
        std::erase_if(all, [&name = name](const auto& each) { return each.second.runtime == name; });
        all.push_back({version, {name, std::move(*folder), "cni_conf_dir in " + path}});
        const auto most = most_lists_in(runtime, "cni_max_conf_num", path);
        if (most && runtime.at("cni_max_conf_num") != 0)
          all.back().second.most_lists = *most;  // 0: the node's
      }
    }
  }

  static void take(const cni::Json& cni, const std::string& path, Table& table) {
    if (auto most = most_lists_in(cni, "max_conf_num", path)) table.most_lists = std::move(*most);
    table.networks.take(folder_in(cni, "conf_dir", path).value_or(fs::path()), "conf_dir", path);
    table.plugins.take(folder_in(cni, "bin_dir", path).value_or(fs::path()), "bin_dir", path);
    table.searched.take(folders_in(cni, "bin_dirs", path), "bin_dirs", path);
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
  std::int64_t version_ = 1;
  std::int64_t migrated_version_ = 1;                               // to containerd 2
  std::vector<std::pair<std::int64_t, OwnNetworks>> own_networks_;  // after the version of the table's name
  // As containerd 2 does with what is imported (containerd/containerd#9982).
  Table of_earlier_names_;
  Table of_last_name_;
  Table not_migrated_;
  // As containerd 1 does: of each name of the plugin, and of those that containerd 2 reads.
  std::array<Table, cri_plugins.size()> of_plugin_;
  Table replaced_by_import_;
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
