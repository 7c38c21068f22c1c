#include "os/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <system_error>

#include "error/error.hpp"

namespace ipmasq::os {

namespace {

constexpr std::size_t largest_file = std::size_t{1} << 20U;

void write_all(const FileDescriptor& file, std::string_view text, const std::filesystem::path& path) {
  while (!text.empty()) {
    const auto written = ::write(file.number(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_errno("cannot write " + path.string());
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

// A file, block by block.
class Blocks {
 public:
  explicit Blocks(const std::filesystem::path& path)
      : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (!file_.is_open()) throw_errno("cannot open " + path.string());
  }

  // Empty at the end; stands until the next call.
  std::string_view next() {
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

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  std::string block_ = std::string(std::size_t{1} << 16U, '\0');
};

// Lets `write` fill a new file that then takes the place of `path`.
void replace(const std::filesystem::path& path, mode_t mode,
             const std::function<void(const FileDescriptor&)>& write) {
  const auto temporary = path.parent_path() / (std::string(unfinished) + std::to_string(::getpid()));
  ::unlink(temporary.c_str());  // of a process of this number that was cut short
  try {
    const FileDescriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!file.is_open()) throw_errno("cannot create " + temporary.string());
    write(file);
    if (mode != owner_reads && ::fchmod(file.number(), mode) != 0)
      throw_errno("cannot set the mode of " + temporary.string());
    if (::rename(temporary.c_str(), path.c_str()) != 0) throw_errno("cannot replace " + path.string());
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (is_open()) ::close(number_);
}

std::optional<std::string> read_file(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw_errno("cannot open " + path.string());
  }
  std::string text;
  std::size_t used = 0;
  for (;;) {
    if (used == text.size()) text.resize(used == 0 ? 4096 : used * 2);
    const auto got = ::read(file.number(), text.data() + used, text.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("cannot read " + path.string());
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > largest_file) {
      errno = EFBIG;
      throw_errno("cannot read " + path.string());
    }
  }
  text.resize(used);
  return text;
}

void replace_file(const std::filesystem::path& path, std::string_view text, mode_t mode) {
  replace(path, mode, [&](const FileDescriptor& file) { write_all(file, text, path); });
}

void copy_program(const std::filesystem::path& from, const std::filesystem::path& path) {
  constexpr mode_t everybody_runs = 0755;
  replace(path, everybody_runs, [&](const FileDescriptor& file) {
    Blocks blocks(from);
    for (auto block = blocks.next(); !block.empty(); block = blocks.next()) write_all(file, block, path);
  });
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
    struct stat status {};
    const bool is_folder =
        number == EEXIST && ::stat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    return is_folder ? 0 : number == EEXIST ? ENOTDIR : number;
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
  throw_errno("cannot make the folder " + path.string());
}

void remove_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) {
    throw_errno("cannot remove " + path.string());
  }
}

}  // namespace ipmasq::os
