#include "os/shared_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::os {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view unfinished_here = ".ip-masq-new-";
constexpr auto patience = std::chrono::seconds(10);

[[noreturn]] void throw_about(const std::string& tried, const fs::path& path) {
  const int number = errno;
  if (number != EBUSY) throw_errno(tried + " " + path.string());
  throw Error(Kind::busy, tried + " " + path.string() + ": " + text_of(number),
              "the file is mounted by itself (a bind mount), so nobody can put another in its place: mount "
              "its folder "
              "instead");
}

void sync(const FileDescriptor& file, const fs::path& path) {
  while (::fsync(file.number()) != 0) {
    if (errno == EINTR) continue;
    if (errno == EINVAL || errno == EROFS) return;  // a file system that has no disk
    throw_errno("cannot bring " + path.string() + " to the disk");
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

struct Owner {
  uid_t user;
  gid_t group;
  mode_t mode;
};

std::optional<Owner> owner_of(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return Owner{status.st_uid, status.st_gid, status.st_mode & 07777U};
  if (errno != ENOENT) throw_errno("cannot look at " + path.string());
  return std::nullopt;
}

void give(const FileDescriptor& file, const Owner& owner, const fs::path& path) {
  if (owner.user != ::geteuid() || owner.group != ::getegid()) {
    if (::fchown(file.number(), owner.user, owner.group) != 0)
      throw_errno("cannot set the owner of " + path.string());
  }
  if (::fchmod(file.number(), owner.mode) != 0) throw_errno("cannot set the mode of " + path.string());
}

void replace(const fs::path& path, const Owner& owner,
             const std::function<void(const FileDescriptor&)>& write) {
  const auto folder = folder_of(path);
  const auto temporary = folder / (std::string(unfinished_here) + std::to_string(::getpid()));
  constexpr auto how = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const FileDescriptor file(::open(temporary.c_str(), how, S_IRUSR | S_IWUSR));
  if (!file.is_open()) throw_errno("cannot create " + temporary.string());
  try {
    write(file);
    give(file, owner, path);
    sync(file, path);
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw_about("cannot replace", path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
  sync_folder(folder);
}

}  // namespace

SharedFolder::SharedFolder(const fs::path& folder) : lock_(folder, LockKind::exclusive, patience) {
  std::error_code error;
  std::vector<fs::path> left;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().filename().string().starts_with(unfinished_here)) left.push_back(entry->path());
  }
  if (error)
    throw Error(kind_of(error.value()), "cannot read the folder " + folder.string() + ": " + error.message());
  for (const auto& path : left) remove_file(path);
}

void write_shared(const fs::path& path, std::string_view text, const fs::path& like) {
  const auto target = behind_links(path);
  auto owner = owner_of(target);
  if (!owner) owner = owner_of(like);
  if (!owner) throw Error(Kind::failed, "cannot write " + path.string() + ": " + like.string() + " is gone");
  replace(target, *owner, [&](const FileDescriptor& file) { write_all(file, text, path); });
}

void copy_program_shared(const fs::path& from, const fs::path& path) {
  const auto target = behind_links(path);
  constexpr mode_t everybody_runs = 0755;
  replace(target, {::geteuid(), ::getegid(), everybody_runs},
          [&](const FileDescriptor& file) { write_bytes_of(from, file, path); });
}

void rename_shared(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw_about("cannot rename", from);
  sync_folder(folder_of(to));
}

void link_shared(const fs::path& file, const fs::path& name) {
  if (::link(file.c_str(), name.c_str()) != 0)
    throw_errno("cannot give " + file.string() + " the name " + name.string());
  sync_folder(folder_of(name));
}

void remove_shared(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && is_there(path)) throw_about("cannot remove", path);
  sync_folder(folder_of(path));
}

}  // namespace ipmasq::os
