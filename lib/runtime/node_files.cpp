#include "runtime/node_files.hpp"

#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::runtime {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> entries_of(const fs::path& folder, bool are_folders) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->is_directory(ignored) == are_folders) names.push_back(entry->path().filename().string());
  }
  const bool is_missing =
      error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory;
  if (error && !is_missing)
    throw Error(Kind::failed, "cannot read the folder " + folder.string() + ": " + error.message());
  std::ranges::sort(names);
  return names;
}

}  // namespace

std::optional<std::string> RealNodeFiles::text_of(const fs::path& path) const {
  return os::read_file(path);
}

std::vector<std::string> RealNodeFiles::names_in(const fs::path& folder) const {
  return entries_of(folder, false);
}

std::vector<std::string> RealNodeFiles::folders_in(const fs::path& folder) const {
  return entries_of(folder, true);
}

bool RealNodeFiles::is_there(const fs::path& path) const {
  return os::is_there(path);
}

bool RealNodeFiles::can_be_written(const fs::path& folder) const {
  return ::access(folder.c_str(), W_OK) == 0;
}

fs::path RealNodeFiles::target_of(const fs::path& link) const {
  std::error_code error;
  return fs::read_symlink(link, error);
}

std::optional<std::string> AskedNodeFiles::text_of(const fs::path& path) const {
  asked_.insert(path);
  return RealNodeFiles::text_of(path);
}

std::vector<std::string> AskedNodeFiles::names_in(const fs::path& folder) const {
  asked_.insert(folder);
  return RealNodeFiles::names_in(folder);
}

std::vector<std::string> AskedNodeFiles::folders_in(const fs::path& folder) const {
  asked_.insert(folder);
  return RealNodeFiles::folders_in(folder);
}

bool AskedNodeFiles::is_there(const fs::path& path) const {
  asked_.insert(path);
  return RealNodeFiles::is_there(path);
}

fs::path AskedNodeFiles::target_of(const fs::path& link) const {
  asked_.insert(link);
  return RealNodeFiles::target_of(link);
}

}  // namespace ipmasq::runtime
