#include "watch/file_watch.hpp"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <system_error>
#include <utility>

#include "error/error.hpp"

namespace ipmasq::watch {

namespace {

namespace fs = std::filesystem;

// What a look takes in of one folder.
constexpr std::size_t most_entries = 4096;

// As many as the kernel follows (path_resolution(7)).
constexpr int most_links = 40;

// Where an entry decides what `path` leads to: the folders of the links on its way, and the one that it ends
// in, or that lacks the next part of it.
void add_folders(const fs::path& path, std::set<fs::path>& folders) {
  std::error_code error;
  std::deque<fs::path> rest(path.begin(), path.end());
  fs::path reached;
  for (int links = 0; !rest.empty() && links <= most_links;) {
    const auto part = std::exchange(rest.front(), {});
    rest.pop_front();
    const auto next = part == ".." ? reached.parent_path() : reached / part;
    const auto status = fs::symlink_status(next, error);
    const bool is_link = fs::is_symlink(status);
    if (is_link || rest.empty() || !fs::exists(status)) folders.insert(reached);
    if (!is_link && !fs::exists(status)) return;
    if (!is_link) {
      reached = next;
      continue;
    }
    ++links;
    const auto target = fs::read_symlink(next, error);
    rest.insert(rest.begin(), target.begin(), target.end());
  }
  if (fs::is_directory(reached, error)) folders.insert(reached);
}

std::set<fs::path> folders_of(const std::set<fs::path>& paths) {
  std::set<fs::path> folders;
  for (const auto& path : paths) add_folders(fs::absolute(path), folders);
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

bool FileWatch::watch(const std::set<fs::path>& paths) {
  folders_ = folders_of(paths);
  problem_.clear();
  if (!inotify_.is_open()) inotify_ = os::FileDescriptor(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (inotify_.is_open() && add_watches()) {
    return take_events();
  }
  problem_ = "the kernel does not tell of changed files (" + text_of(errno) +
             "): they are looked at each second (sysctl fs.inotify.max_user_instances and "
             "fs.inotify.max_user_watches say how many may be watched)";
  inotify_ = os::FileDescriptor();
  watches_.clear();
  const auto before = std::exchange(seen_, look());
  return before != seen_;
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
