#include "watch/file_watch.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <system_error>
#include <utility>

#include "error/error.hpp"

namespace ipmasq::watch {

namespace {

namespace fs = std::filesystem;

os::FileDescriptor open_inotify() {
  os::FileDescriptor inotify(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify.is_open()) throw_errno("cannot watch files");
  return inotify;
}

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

}  // namespace

FileWatch::FileWatch() : inotify_(open_inotify()) {}

void FileWatch::watch(const std::set<fs::path>& paths) {
  // A folder that was taken away and made anew has lost its watch without a word: all are made anew.
  auto inotify = open_inotify();
  constexpr std::uint32_t changes = IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_CLOSE_WRITE | IN_MOVED_FROM |
                                    IN_MOVED_TO | IN_MOVE_SELF | IN_ONLYDIR;
  for (const auto& folder : folders_of(paths)) {
    const bool is_watched = ::inotify_add_watch(inotify.number(), folder.c_str(), changes) >= 0;
    if (!is_watched && errno != ENOENT && errno != ENOTDIR) throw_errno("cannot watch " + folder.string());
  }
  inotify_ = std::move(inotify);
}

void FileWatch::drain() {
  std::array<char, 16384> events;  // NOLINT(cppcoreguidelines-pro-type-member-init): nobody looks at it
  while (::read(inotify_.number(), events.data(), events.size()) > 0) {
  }
}

}  // namespace ipmasq::watch
