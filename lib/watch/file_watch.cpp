#include "watch/file_watch.hpp"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <system_error>
#include <utility>

#include "error/error.hpp"

namespace ipmasq::watch {

namespace {

namespace fs = std::filesystem;

// What a look takes in of one folder.
constexpr std::size_t most_entries = 4096;

fs::path nearest_folder(fs::path folder) {
  std::error_code ignored;
  while (!fs::is_directory(folder, ignored) && folder.has_parent_path() && folder != folder.parent_path()) {
    folder = folder.parent_path();
  }
  return folder;
}

std::set<fs::path> folders_of(const std::set<fs::path>& paths) {
  std::set<fs::path> folders;
  for (const auto& path : paths) {
    std::error_code error;
    if (fs::is_directory(path, error)) folders.insert(path);
    folders.insert(nearest_folder(path.parent_path()));
    const auto target = fs::canonical(path, error);
    if (!error) folders.insert(target.parent_path());
  }
  return folders;
}

void append(std::string& text, const struct stat& status) {
  for (const auto number :
       {static_cast<long>(status.st_dev), static_cast<long>(status.st_ino), static_cast<long>(status.st_size),
        static_cast<long>(status.st_ctim.tv_sec), static_cast<long>(status.st_ctim.tv_nsec)}) {
    text += std::to_string(number) + " ";
  }
}

// The file itself where it is a link, and what that leads to.
void append(std::string& text, const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) append(text, status);
  if (S_ISLNK(status.st_mode) && ::stat(path.c_str(), &status) == 0) append(text, status);
  text += path.native() + "\n";
}

}  // namespace

void FileWatch::watch(const std::set<fs::path>& paths) {
  folders_ = folders_of(paths);
  problem_.clear();
  if (!inotify_.is_open()) inotify_ = os::FileDescriptor(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (inotify_.is_open() && add_watches()) {
    static_cast<void>(take_events());
    return;
  }
  problem_ = "the kernel does not tell of changed files (" + text_of(errno) +
             "): they are looked at each second (sysctl fs.inotify.max_user_instances and "
             "fs.inotify.max_user_watches say how many may be watched)";
  inotify_ = os::FileDescriptor();
  watches_.clear();
  seen_ = look();
}

// A folder that was taken away and made anew has lost its watch without a word: all are asked for again, and
// those that are watched already keep theirs.
bool FileWatch::add_watches() {
  constexpr std::uint32_t changes = IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_CLOSE_WRITE | IN_MOVED_FROM |
                                    IN_MOVED_TO | IN_MOVE_SELF | IN_ONLYDIR;
  std::set<int> watches;
  for (const auto& folder : folders_) {
    const int watch = ::inotify_add_watch(inotify_.number(), folder.c_str(), changes);
    if (watch < 0 && errno != ENOENT && errno != ENOTDIR) return false;
    if (watch >= 0) watches.insert(watch);
  }
  std::set<int> left;
  std::ranges::set_difference(watches_, watches, std::inserter(left, left.end()));
  for (const int watch : left) ::inotify_rm_watch(inotify_.number(), watch);
  watches_ = std::move(watches);
  return true;
}

bool FileWatch::has_changed() {
  if (problem_.empty()) return take_events();
  const auto before = std::exchange(seen_, look());
  return before != seen_;
}

bool FileWatch::take_events() const {
  bool any = false;
  alignas(inotify_event) std::array<char, 16384> events;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (;;) {
    const auto size = ::read(inotify_.number(), events.data(), events.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return any;
    any = true;
  }
}

// What changes with every change of the folders and of what is in them.
std::string FileWatch::look() const {
  std::string text;
  for (const auto& folder : folders_) {
    append(text, folder);
    std::error_code error;
    std::set<fs::path> entries;
    for (fs::directory_iterator entry(folder, error), end;
         !error && entry != end && entries.size() < most_entries; entry.increment(error)) {
      entries.insert(entry->path());
    }
    for (const auto& entry : entries) append(text, entry);
  }
  return text;
}

}  // namespace ipmasq::watch
