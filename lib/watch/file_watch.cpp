#include "watch/file_watch.hpp"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
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

bool FileWatch::Names::hold(const std::string& name, bool is_folder) const {
  return are_all || names.contains(name) || (is_folder && are_folders) ||
         std::ranges::any_of(endings, [&name](const std::string& ending) { return name.ends_with(ending); });
}

void FileWatch::Names::add(const Names& other) {
  are_all = are_all || other.are_all;
  are_folders = are_folders || other.are_folders;
  names.insert(other.names.begin(), other.names.end());
  endings.insert(endings.end(), other.endings.begin(), other.endings.end());
}

// Where an entry decides what `path` leads to: the folders of the links on its way, and the one that it ends
// in, or that lacks the next part of it.
void FileWatch::add_folders(const fs::path& path, Inside inside, Folders& folders) {
  std::error_code error;
  std::deque<fs::path> rest(path.begin(), path.end());
  fs::path reached;
  for (int links = 0; !rest.empty() && links <= most_links;) {
    const auto part = std::exchange(rest.front(), {});
    rest.pop_front();
    const auto next = part == ".." ? reached.parent_path() : reached / part;
    const auto status = fs::symlink_status(next, error);
    const bool is_link = fs::is_symlink(status);
    if (is_link || rest.empty() || !fs::exists(status)) folders[reached].names.insert(part);
    if (!is_link && !fs::exists(status)) return;
    if (!is_link) {
      reached = next;
      continue;
    }
    ++links;
    const auto target = fs::read_symlink(next, error);
    rest.insert(rest.begin(), target.begin(), target.end());
  }
  if (inside == Inside::counts && fs::is_directory(reached, error)) folders[reached].are_all = true;
}

void FileWatch::add_endings(const Endings& endings, Folders& folders) {
  for (const auto& [folder, ends] : endings) {
    const auto path = fs::absolute(folder);
    add_folders(path, Inside::does_not, folders);
    std::error_code error;
    const auto real = fs::canonical(path, error);
    if (error) continue;
    folders[real].add({.are_folders = true, .endings = ends});
    std::size_t entries = 0;
    for (fs::directory_iterator entry(real, error), end; !error && entry != end && ++entries < most_entries;
         entry.increment(error)) {
      const auto name = entry->path().filename().string();
      if (entry->is_symlink(error) && folders[real].hold(name, false))
        add_folders(entry->path(), Inside::does_not, folders);
    }
  }
}

FileWatch::Folders FileWatch::folders_of(const std::set<fs::path>& paths, const Endings& endings) {
  Folders folders;
  for (const auto& path : paths) add_folders(fs::absolute(path), Inside::counts, folders);
  add_endings(endings, folders);
  return folders;
}

bool FileWatch::watch(const std::set<fs::path>& paths, const Endings& endings) {
  constexpr int most_tries = 10;
  folders_ = folders_of(paths, endings);
  problem_.clear();
  if (!inotify_.is_open()) inotify_ = os::FileDescriptor(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  // A folder that came after it was looked for, and before its parent was watched, is told of by nobody. Nor
  // is one whose event is taken here: hence it is looked for after that, and what comes then is told.
  bool has_changed = false;
  for (int tries = 0; inotify_.is_open() && add_watches(); ++tries) {
    has_changed = take_events() || has_changed;
    auto found = folders_of(paths, endings);
    if (found == folders_ || tries == most_tries) return has_changed;
    folders_ = std::move(found);
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
  constexpr std::uint32_t changes = IN_ATTRIB | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_CLOSE_WRITE |
                                    IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF | IN_ONLYDIR;
  std::map<int, Names> watches;
  for (const auto& [folder, names] : folders_) {
    const int watch = ::inotify_add_watch(inotify_.number(), folder.c_str(), changes);
    if (watch < 0 && errno != ENOENT && errno != ENOTDIR) return false;
    if (watch >= 0) watches[watch].add(names);  // one folder may be reached by two paths
  }
  for (const auto& [watch, names] : watches_) {
    if (!watches.contains(watch)) ::inotify_rm_watch(inotify_.number(), watch);
  }
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
    for (std::size_t place = 0; place < static_cast<std::size_t>(size);) {
      inotify_event event{};
      std::memcpy(&event, events.data() + place, sizeof event);
      any = any || matters(event, events.data() + place + sizeof event);
      place += sizeof event + event.len;
    }
  }
}

// One without a name is of the folder itself, or tells that some were lost.
bool FileWatch::matters(const inotify_event& event, const char* name) const {
  if (event.len == 0) return true;
  const auto watch = watches_.find(event.wd);
  return watch != watches_.end() && watch->second.hold(name, (event.mask & IN_ISDIR) != 0);
}

// What changes with every change of what matters.
std::string FileWatch::look() const {
  std::string text;
  for (const auto& [folder, names] : folders_) {
    std::error_code error;
    std::set<fs::path> entries;
    for (fs::directory_iterator entry(folder, error), end;
         !error && entry != end && entries.size() < most_entries; entry.increment(error)) {
      const auto name = entry->path().filename().string();
      if (names.hold(name, fs::is_directory(entry->symlink_status(error)))) entries.insert(entry->path());
    }
    struct stat status {};
    if (::stat(folder.c_str(), &status) == 0) text += std::to_string(status.st_ino);
    text += " " + folder.native() + "\n";
    for (const auto& entry : entries) append(text, entry);
  }
  return text;
}

}  // namespace ipmasq::watch
