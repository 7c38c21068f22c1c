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

template <typename Answer, typename Ask>
Answer RealNodeFiles::remember(Answers<Answer>& answers, const fs::path& path, Ask ask) const {
  asked_.insert(path);
  const auto known = answers.find(path);
  return known != answers.end() ? known->second : answers.emplace(path, ask(path)).first->second;
}

std::optional<std::string> RealNodeFiles::text_of(const fs::path& path) const {
  return remember(texts_, path, os::read_file);
}

std::vector<std::string> RealNodeFiles::names_in(const fs::path& folder) const {
  return remember(names_, folder, [](const fs::path& asked) { return entries_of(asked, false); });
}

std::vector<std::string> RealNodeFiles::folders_in(const fs::path& folder) const {
  return remember(folders_, folder, [](const fs::path& asked) { return entries_of(asked, true); });
}

bool RealNodeFiles::is_there(const fs::path& path) const {
  return remember(are_there_, path, os::is_there);
}

bool RealNodeFiles::can_be_written(const fs::path& folder) const {
  return ::access(folder.c_str(), W_OK) == 0;
}

fs::path RealNodeFiles::target_of(const fs::path& link) const {
  return remember(targets_, link, [](const fs::path& asked) {
    std::error_code error;
    return fs::read_symlink(asked, error);
  });
}

}  // namespace ipmasq::runtime
