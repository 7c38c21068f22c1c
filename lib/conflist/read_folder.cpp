#include "conflist/read_folder.hpp"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

#include "cni/json.hpp"
#include "conflist/folder.hpp"
#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::conflist {

namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t largest_text = std::uintmax_t{1} << 20U;

// Of an error about `path`, told as of "it".
std::string without_path(std::string message, const fs::path& path) {
  if (const auto place = message.find(path.string()); place != std::string::npos)
    message.replace(place, path.string().size(), "it");
  return message;
}

// nullopt for one that went away meanwhile.
std::optional<File> read_one(const fs::directory_entry& entry) {
  File file{.name = entry.path().filename().string()};
  try {
    std::error_code error;
    if (fs::is_directory(entry.symlink_status(error))) {
      file.is_folder = true;
      return file;
    }
    if (const auto links = fs::hard_link_count(entry.path(), error); !error) file.links = links;
    file.obstacle = os::obstacle_before(entry.path());
    const auto status = entry.status(error);
    if (fs::exists(status) && !fs::is_regular_file(status)) {
      file.trouble = "it is no regular file";
    } else if (const auto size = entry.file_size(error); !error && size > largest_text) {
      file.trouble = "it is larger than 1 MiB";
    } else if (auto text = os::read_file(entry.path())) {
      file.text = std::move(*text);
    } else if (os::is_there(entry.path())) {
      file.trouble = "it is a link that leads nowhere";
    } else {
      return std::nullopt;
    }
  } catch (const Error& error) {
    file.trouble = without_path(error.what(), entry.path());
    file.is_unread = true;
  }
  return file;
}

std::string why_unread(const fs::path& folder, const std::error_code& error) {
  std::error_code no_link;
  const auto end = fs::read_symlink(folder, no_link);
  if (no_link || kind_of(error.value()) != Kind::absent) return error.message();
  return "it is a link to " + end.string() + ", which is not there, or not seen here";
}

// Those whose name is wanted.
std::vector<File> read_files(const fs::path& folder, bool (*is_wanted)(std::string_view name)) {
  std::error_code error;
  std::vector<File> files;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (!is_wanted(entry->path().filename().string())) continue;
    if (auto file = read_one(*entry)) files.push_back(std::move(*file));
  }
  if (error)
    throw Error(kind_of(error.value()),
                "cannot read the folder " + folder.string() + ": " + why_unread(folder, error));
  return files;
}

// What cannot be read there makes the list one that was not read.
void read_plugins(const fs::path& folder, File& list) {
  const auto name = folder_of_plugins(list);
  if (!name || !os::is_there(folder / *name)) return;
  if (!fs::is_directory(folder / *name)) {
    list.plugins_trouble =
        (folder / *name).string() + " is no folder: libcni looks for plugins of the list there";
    return;
  }
  list.plugins = read_files(folder / *name, is_plugin_file);
  std::erase_if(list.plugins, [](const File& file) { return file.is_folder; });
  std::ranges::sort(list.plugins, {}, &File::name);
  for (auto& plugin : list.plugins) {
    plugin.name = *name + "/" + plugin.name;
    if (!plugin.is_unread) continue;
    list.trouble = plugin.name + ": " + plugin.trouble;
    list.is_unread = true;
  }
}

void add_paths(const cni::Json& json, std::set<std::string>& paths) {
  if (json.is_structured()) {
    for (const auto& each : json) add_paths(each, paths);
  } else if (json.is_string() && json.get_ref<const std::string&>().starts_with('/')) {
    paths.insert(json.get<std::string>());
  }
}

// As it stands, and without what a container has before it ("/host").
bool leads_to(const fs::path& path, const fs::path& folder) {
  std::error_code error;
  const auto parent = path.lexically_normal().parent_path();
  fs::path shorter = "/";
  for (auto part = parent.begin(); part != parent.end(); ++part) {
    if (std::distance(parent.begin(), part) > 1) shorter /= *part;
  }
  return fs::equivalent(parent, folder, error) ||
         (shorter != "/" && !fs::exists(parent, error) && fs::equivalent(shorter, folder, error));
}

void find_what_leads_here(const fs::path& folder, File& file) {
  if (!is_considered(file.name) || file.text.find("multus") == std::string::npos) return;
  std::set<std::string> paths;
  try {
    add_paths(cni::parse_json(file.text, "it"), paths);
  } catch (const Error&) {
    return;  // nor does multus read it
  }
  std::ranges::copy_if(paths, std::inserter(file.leads_here, file.leads_here.end()),
                       [&folder](const std::string& path) { return leads_to(path, folder); });
}

bool is_read(std::string_view name) {
  return is_considered(name) || is_beside(name) || is_put_aside(name);
}

}  // namespace

std::vector<File> read_folder(const fs::path& folder) {
  auto files = read_files(folder, is_read);
  for (auto& file : files) {
    try {
      read_plugins(folder, file);
      find_what_leads_here(folder, file);
    } catch (const std::exception& error) {
      file.trouble = error.what();
      file.is_unread = true;
    }
  }
  return files;
}

}  // namespace ipmasq::conflist
