#include "os/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <system_error>

#include "error/error.hpp"
#include "os/obstacle.hpp"

namespace ipmasq::os {

namespace {

mode_t mode_of(const FileDescriptor& file, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) throw_errno("cannot look at " + path.string());
  return status.st_mode;
}

[[noreturn]] void throw_no_regular_file(const std::filesystem::path& path) {
  throw Error(Kind::failed, path.string() + " is no regular file", "nothing of ip-masq's: remove it");
}

// Closed where the file does not exist. Does not wait for who may write into a FIFO.
FileDescriptor open_to_read(const std::filesystem::path& path, int more_flags) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | more_flags));
  if (file.is_open() || errno == ENOENT || errno == ENOTDIR) return file;
  if (errno == ENXIO) throw_no_regular_file(path);  // a socket
  throw_errno("cannot open " + path.string());
}

std::string read_all(const FileDescriptor& file, const std::filesystem::path& path) {
  std::string text;
  std::size_t used = 0;
  for (;;) {
    if (used == text.size()) text.resize(used == 0 ? 4096 : used * 2);
    const auto got = ::read(file.number(), text.data() + used, text.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("cannot read " + path.string());
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > largest_file)
      throw Error(Kind::wrong_text, "cannot read " + path.string() + ": " + text_of(EFBIG));
  }
  text.resize(used);
  return text;
}

// Lets `write` fill a new file in the folder `workshop` that then takes the place of `path`.
void replace(const std::filesystem::path& path, const std::filesystem::path& workshop, mode_t mode,
             const std::function<void(const FileDescriptor&)>& write) {
  const auto temporary = workshop / (std::string(unfinished) + std::to_string(::getpid()));
  ::unlink(temporary.c_str());  // of a process of this number that was cut short
  try {
    const FileDescriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!file.is_open()) throw_errno_of("cannot create " + temporary.string(), temporary);
    write(file);
    if (mode != owner_reads && ::fchmod(file.number(), mode) != 0)
      throw_errno("cannot set the mode of " + temporary.string());
    if (::rename(temporary.c_str(), path.c_str()) != 0)
      throw_errno_of("cannot replace " + path.string(), path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

// Closed where the file system can make none without a name.
FileDescriptor open_nameless(const std::filesystem::path& folder) {
  FileDescriptor file(::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!file.is_open() && errno != EOPNOTSUPP && errno != EISDIR)
    throw_errno_of("cannot create a file in " + folder.string(), folder / unfinished);
  return file;
}

// Whether the file has the name now: not where something else has it, nor where there is no /proc.
bool give_name(const FileDescriptor& file, const std::filesystem::path& path) {
  const auto nameless = "/proc/self/fd/" + std::to_string(file.number());
  if (::linkat(AT_FDCWD, nameless.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) return true;
  if (errno != EEXIST && errno != ENOENT) throw_errno_of("cannot create " + path.string(), path);
  return false;
}

}  // namespace

Blocks::Blocks(const std::filesystem::path& path) : path_(path), file_(open_to_read(path, 0)) {
  if (!file_.is_open()) throw_errno("cannot open " + path.string());
  if (!S_ISREG(mode_of(file_, path))) throw_no_regular_file(path);
}

std::string_view Blocks::next() {
  std::size_t used = 0;
  while (used < block_.size()) {
    const auto got = ::read(file_.number(), block_.data() + used, block_.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("cannot read " + path_.string());
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
  }
  return {block_.data(), used};
}

void write_all(const FileDescriptor& file, std::string_view text, const std::filesystem::path& path) {
  while (!text.empty()) {
    const auto written = ::write(file.number(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_errno_of("cannot write " + path.string(), path);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

FileDescriptor::~FileDescriptor() {
  if (is_open()) ::close(number_);
}

std::optional<std::string> read_file(const std::filesystem::path& path) {
  const auto file = open_to_read(path, 0);
  if (!file.is_open()) return std::nullopt;
  if (S_ISFIFO(mode_of(file, path))) throw_no_regular_file(path);  // it would say nothing now, or wait
  return read_all(file, path);
}

std::optional<std::string> read_trusted_file(const std::filesystem::path& path) {
  const auto file = open_to_read(path, O_NOFOLLOW);
  if (!file.is_open()) return std::nullopt;
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) throw_errno("cannot look at " + path.string());
  const auto refuse = [&path](const char* why) { throw Error(Kind::failed, path.string() + " " + why); };
  if (!S_ISREG(status.st_mode)) refuse("is no regular file");
  if (status.st_uid != 0 && status.st_uid != ::geteuid()) refuse("belongs to somebody else");
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) refuse("can be written to by others");
  return read_all(file, path);
}

void replace_file(const std::filesystem::path& path, std::string_view text, mode_t mode) {
  replace(path, path.parent_path(), mode, [&](const FileDescriptor& file) { write_all(file, text, path); });
}

void put_file(const std::filesystem::path& path, std::string_view text,
              const std::filesystem::path& workshop) {
  const auto write = [&](const FileDescriptor& file) { write_all(file, text, path); };
  if (!is_there(path)) {
    const auto file = open_nameless(workshop);
    if (file.is_open()) {
      write(file);
      if (give_name(file, path)) return;
    }
  }
  replace(path, workshop, owner_reads, write);
}

void check_writable(const std::filesystem::path& folder) {
  constexpr auto text = "ip-masq looks whether it can write here\n";
  const auto write = [&](const FileDescriptor& file) { write_all(file, text, folder); };
  if (const auto file = open_nameless(folder); file.is_open()) return write(file);
  const auto probe = folder / ".status";
  replace(probe, folder, owner_reads, write);
  remove_file(probe);
}

// readdir(3) takes in hundreds of entries at once.
bool any_name(const std::filesystem::path& folder, const std::function<bool(const std::string&)>& question) {
  const FileDescriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened.is_open() && errno == ENOENT) return false;
  if (!opened.is_open()) throw_errno("cannot read the folder " + folder.string());
  alignas(dirent64) std::array<char, 1024> entries{};  // NAME_MAX is 255
  for (;;) {
    const auto size = ::getdents64(opened.number(), entries.data(), entries.size());
    if (size == 0) return false;
    if (size < 0) throw_errno("cannot read the folder " + folder.string());
    for (std::size_t place = 0; place < static_cast<std::size_t>(size);) {
      const auto* const entry = reinterpret_cast<const dirent64*>(entries.data() + place);
      const std::string name(entry->d_name);
      if (name != "." && name != ".." && question(name)) return true;
      place += entry->d_reclen;
    }
  }
}

bool is_there(const std::filesystem::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) return true;
  if (errno != ENOENT && errno != ENOTDIR) throw_errno("cannot look at " + path.string());
  return false;
}

void write_bytes_of(const std::filesystem::path& from, const FileDescriptor& file,
                    const std::filesystem::path& path) {
  Blocks blocks(from);
  for (auto block = blocks.next(); !block.empty(); block = blocks.next()) write_all(file, block, path);
}

bool have_the_same_bytes(const std::filesystem::path& left, const std::filesystem::path& right) {
  Blocks left_blocks(left);
  Blocks right_blocks(right);
  for (;;) {
    const auto block = left_blocks.next();
    if (block != right_blocks.next()) return false;
    if (block.empty()) return true;
  }
}

void make_folder(const std::filesystem::path& path, mode_t mode) {
  const auto make = [](const std::filesystem::path& folder, mode_t with) {
    if (::mkdir(folder.c_str(), with) == 0) return 0;
    const int number = errno;
    if (number != EEXIST) return number;
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0) return errno;
    return S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
  };
  int number = make(path, mode);
  if (number == ENOENT) {  // from the top, once: a file system may say so whatever is there
    constexpr mode_t everybody_reads = 0755;
    std::filesystem::path above;
    for (const auto& part : path.parent_path()) {
      above /= part;
      number = above == above.root_path() ? 0 : make(above, everybody_reads);
      if (number != 0) break;
    }
    if (number == 0) number = make(path, mode);
  }
  if (number == 0) return;
  errno = number;
  throw_errno_of("cannot make the folder " + path.string(), path);
}

void remove_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) == 0) return;
  const int number = errno;
  if (!is_there(path)) return;  // a read-only file system says so whatever is there
  errno = number;
  throw_errno_of("cannot remove " + path.string(), path);
}

}  // namespace ipmasq::os
