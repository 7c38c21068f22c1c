#include "conflist/read_folder.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <system_error>

#include "conflist/plan.hpp"
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

}  // namespace

std::vector<File> read_folder(const fs::path& folder) {
  std::error_code error;
  std::vector<File> files;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const auto name = entry->path().filename().string();
    if (!is_considered(name) && !is_beside(name)) continue;
    if (auto file = read_one(*entry)) files.push_back(std::move(*file));
  }
  if (error)
    throw Error(kind_of(error.value()), "cannot read the folder " + folder.string() + ": " + error.message());
  return files;
}

}  // namespace ipmasq::conflist
