#include "os/shared_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "error/error.hpp"
#include "os/file.hpp"
#include "os/file_attributes.hpp"
#include "os/obstacle.hpp"

namespace ipmasq::os {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view unfinished_here = ".ip-masq-new-";
constexpr auto patience = std::chrono::seconds(10);

[[noreturn]] void throw_about(const std::string& tried, const fs::path& path) {
  const int number = errno;
  if (number != EBUSY) throw_errno_of(tried + " " + path.string(), path);
  throw Error(Kind::busy, tried + " " + path.string() + ": " + text_of(number),
              "the file is mounted by itself (a bind mount), so nobody can put another in its place: mount "
              "its folder "
              "instead");
}

void sync(const FileDescriptor& file, const fs::path& path) {
  while (::fsync(file.number()) != 0) {
    if (errno == EINTR) continue;
    if (errno == EINVAL || errno == EROFS) return;  // a file system that has no disk
    throw_errno_of("cannot bring " + path.string() + " to the disk", path);
  }
}

void sync_folder(const fs::path& folder) {
  const FileDescriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.is_open()) throw_errno("cannot open " + folder.string());
  sync(opened, folder);
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// What a link leads to in the end, which must be there; else the path itself.
fs::path behind_links(const fs::path& path) {
  std::error_code error;
  if (!fs::is_symlink(fs::symlink_status(path, error))) return path;
  auto target = fs::canonical(path, error);
  if (error) throw Error(Kind::failed, "cannot follow the link " + path.string() + ": " + error.message());
  return target;
}

fs::path aside_in(const fs::path& folder) {
  return folder / (std::string(unfinished_here) + std::to_string(::getpid()));
}

// renameat2(2); false where there is no such way here.
bool can_rename(const fs::path& from, const fs::path& to, unsigned flags, int& error) {
  error = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0 ? 0 : errno;
  return error != EINVAL && error != ENOSYS && error != ENOTSUP;
}

// False where something has the name.
bool rename_where_free(const fs::path& from, const fs::path& to) {
  int error = 0;
  if (!can_rename(from, to, RENAME_NOREPLACE, error)) {
    if (is_there(to)) return false;
    error = ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
  }
  if (error == 0 || error == EEXIST) return error == 0;
  errno = error;
  throw_about("cannot rename " + from.string() + " to", to);
}

// Whether somebody has the file open to write into it, as far as the file system tells (fcntl(2),
// F_SETLEASE).
bool is_written_to(const fs::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ::fcntl(file.number(), F_SETSIG, SIGURG);  // nothing by default, should somebody open it just now
  if (::fcntl(file.number(), F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN;
  ::fcntl(file.number(), F_SETLEASE, F_UNLCK);
  return false;
}

using Judge = std::function<bool(const fs::path&)>;

// The text that was planned for, and nobody is about to change it.
bool says(const fs::path& path, const std::string& text) {
  return !is_written_to(path) && read_file(path) == text;
}

std::pair<dev_t, ino_t> identity_of(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) throw_errno("cannot look at " + path.string());
  return {status.st_dev, status.st_ino};
}

// `aside` goes back to `path`, where `ours` stands; or what somebody has put there since stays.
void put_back(const fs::path& aside, const fs::path& path, std::pair<dev_t, ino_t> ours) {
  for (;;) {
    const auto theirs = identity_of(aside);
    int error = 0;
    if (!can_rename(aside, path, RENAME_EXCHANGE, error) || (error != 0 && error != ENOENT))
      error = ::rename(aside.c_str(), path.c_str()) == 0 ? ENOENT : errno;
    if (error == ENOENT) return remove_file(aside);
    if (error != 0) {
      errno = error;
      throw_about("cannot put " + aside.string() + " back to", path);
    }
    if (identity_of(aside) == ours) return remove_file(aside);
    ours = theirs;
  }
}

// Puts `aside` in the place of `path` where `may_go` says so of what stands there; false where it stays.
bool take_place(const fs::path& aside, const fs::path& path, const Judge& may_go) {
  const auto ours = identity_of(aside);
  int error = 0;
  if (!can_rename(aside, path, RENAME_EXCHANGE, error)) {
    if (!may_go(path)) return false;
    error = ::rename(aside.c_str(), path.c_str()) == 0 ? 0 : errno;
    if (error == 0) return true;
  }
  if (error == ENOENT) return false;
  if (error != 0) {
    errno = error;
    throw_about("cannot replace", path);
  }
  bool goes = false;
  try {
    goes = may_go(aside);
  } catch (...) {
    put_back(aside, path, ours);
    throw;
  }
  if (!goes) put_back(aside, path, ours);
  return goes;
}

void make(const fs::path& aside, const fs::path& path, const FileAttributes& attributes,
          const std::function<void(const FileDescriptor&)>& write) {
  constexpr auto how = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const FileDescriptor file(::open(aside.c_str(), how, S_IRUSR | S_IWUSR));
  if (!file.is_open()) throw_errno_of("cannot create " + aside.string(), aside);
  write(file);
  give(file, attributes, path);
  sync(file, path);
}

// `may_go`: asked of what stands there; none where nothing may. A program can be run as soon as it has its
// name, since nobody writes into it any more.
bool replace(const fs::path& path, const FileAttributes& attributes,
             const std::function<void(const FileDescriptor&)>& write, const Judge& may_go) {
  const auto folder = folder_of(path);
  const auto aside = aside_in(folder);
  check_no_obstacle_before(path);  // after which the new file itself may not be taken away again
  bool is_done = false;
  try {
    make(aside, path, attributes, write);
    is_done = may_go ? take_place(aside, path, may_go) : rename_where_free(aside, path);
  } catch (...) {
    ::unlink(aside.c_str());
    throw;
  }
  ::unlink(aside.c_str());
  sync_folder(folder);
  return is_done;
}

// Of calls that are under way, or were cut short.
std::vector<fs::path> left_in(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> left;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().filename().string().starts_with(unfinished_here)) left.push_back(entry->path());
  }
  if (error)
    throw Error(kind_of(error.value()), "cannot read the folder " + folder.string() + ": " + error.message());
  return left;
}

}  // namespace

SharedFolder::SharedFolder(const fs::path& folder) : lock_(folder, LockKind::exclusive, patience) {
  for (const auto& path : left_in(folder)) remove_file(path);
}

void tidy_up(const fs::path& folder) {
  if (is_there(folder) && !left_in(folder).empty()) const SharedFolder held(folder);
}

std::vector<fs::path> left_unfinished(const fs::path& folder) {
  return is_there(folder) ? left_in(folder) : std::vector<fs::path>();
}

bool write_shared(const fs::path& path, std::string_view text, const Before& before, const fs::path& like) {
  const auto target = behind_links(path);
  auto attributes = attributes_of(target);
  if (!attributes) attributes = attributes_of(like);
  if (!attributes) return false;
  const Judge is_as_before = [&before](const fs::path& found) { return says(found, *before); };
  const bool is_done = replace(
      target, *attributes, [&](const FileDescriptor& file) { write_all(file, text, path); },
      before ? is_as_before : Judge());
  return is_done && behind_links(path) == target;
}

bool copy_program_shared(const fs::path& from, const fs::path& path, const Judge& may_go) {
  constexpr mode_t everybody_runs = 0755;
  return replace(
      path, {{}, ::geteuid(), ::getegid(), everybody_runs},
      [&](const FileDescriptor& file) { write_bytes_of(from, file, path); },
      is_there(path) ? [&may_go](const fs::path& found) { return !is_written_to(found) && may_go(found); }
                     : Judge());
}

bool rename_shared(const fs::path& from, const fs::path& to, const std::string& text, const Before& before) {
  if (!is_there(from)) return false;
  if (!before) {
    if (!rename_where_free(from, to)) return false;
  } else if (::rename(from.c_str(), to.c_str()) != 0) {
    throw_about("cannot rename", from);
  }
  const bool is_done = says(to, text);
  if (!is_done) {
    if (!rename_where_free(to, from)) remove_file(to);
    if (before && !write_shared(to, *before, std::nullopt, from))
      throw Error(Kind::busy, "cannot put " + to.string() + " back: somebody else has written it");
  }
  sync_folder(folder_of(to));
  return is_done;
}

void move_shared(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw_about("cannot rename " + from.string() + " to", to);
  sync_folder(folder_of(to));
}

bool link_shared(const fs::path& file, const fs::path& name) {
  if (::link(file.c_str(), name.c_str()) != 0) {
    if (errno == EEXIST) return false;
    throw_errno_of("cannot give " + file.string() + " the name " + name.string(), file);
  }
  sync_folder(folder_of(name));
  return true;
}

bool remove_shared(const fs::path& path, const Before& before) {
  const auto folder = folder_of(path);
  if (!before) {
    if (::unlink(path.c_str()) != 0 && is_there(path)) throw_about("cannot remove", path);
    sync_folder(folder);
    return true;
  }
  const auto aside = aside_in(folder);
  if (::rename(path.c_str(), aside.c_str()) != 0) {
    if (is_there(path)) throw_about("cannot remove", path);
    return true;
  }
  const bool is_done = says(aside, *before);
  if (is_done || !rename_where_free(aside, path)) remove_file(aside);
  sync_folder(folder);
  return is_done;
}

}  // namespace ipmasq::os
