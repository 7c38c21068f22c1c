// Files as ip-masq uses them: read whole, replaced whole.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ipmasq::os {

/// An open file descriptor, closed at the end of its life; -1 where there is none.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor();

  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }

 private:
  int number_ = -1;
};

/// Whether there is anything of this name, a link that leads nowhere as well. Throws Error{failed}.
bool is_there(const std::filesystem::path& path);

/// Whether `question` is true of the name of any entry of a folder, "." and ".." aside; asks it of no more
/// after that, and reads few of them ahead: what the first costs does not grow with the folder. false where
/// there is no such folder. Throws Error{failed}.
bool any_name(const std::filesystem::path& folder, const std::function<bool(const std::string&)>& question);

/// Bytes of a file that is read whole; what is longer is nobody's text.
inline constexpr std::size_t largest_file = std::size_t{1} << 20U;

/// All of a file; nullopt where it does not exist. Throws Error: failed, also for a FIFO or a socket, which
/// nobody waits for; wrong_text for one over largest_file.
std::optional<std::string> read_file(const std::filesystem::path& path);

/// The same of a file that nobody else can have a hand in: throws Error{failed} for a link, for what is no
/// regular file, and for one that another user than root or this one owns, or others can write to.
std::optional<std::string> read_trusted_file(const std::filesystem::path& path);

inline constexpr mode_t owner_reads = 0600;

/// With which the name of a file begins that is being written, or was cut short.
inline constexpr std::string_view unfinished = ".new-";

/// The file is the old one or all of the new one at any time: written under a name of this process's own that
/// begins with `unfinished`, then renamed. Throws Error{failed}; the old file then stands.
void replace_file(const std::filesystem::path& path, std::string_view text, mode_t mode = owner_reads);

/// The same, written in `workshop`, a folder of the same file system. Where there is no old file, and the
/// file system can do so (O_TMPFILE), it has no name before it is whole, so that nothing is ever left of it.
void put_file(const std::filesystem::path& path, std::string_view text,
              const std::filesystem::path& workshop);

/// Whether a file can be made in a folder and filled. Leaves none. Throws Error{failed} where it cannot.
void check_writable(const std::filesystem::path& folder);

/// A regular file of any size, block by block. Throws Error{failed}, also for what is none.
class Blocks {
 public:
  explicit Blocks(const std::filesystem::path& path);

  /// Empty at the end; stands until the next call.
  std::string_view next();

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  std::string block_ = std::string(std::size_t{1} << 16U, '\0');
};

/// Throws Error{failed} that names `path`.
void write_all(const FileDescriptor& file, std::string_view text, const std::filesystem::path& path);

/// Writes all bytes of `from`, of any size. Throws Error{failed} that names `from`, or `path`.
void write_bytes_of(const std::filesystem::path& from, const FileDescriptor& file,
                    const std::filesystem::path& path);

/// Throws Error{failed} where one cannot be read.
bool have_the_same_bytes(const std::filesystem::path& left, const std::filesystem::path& right);

/// Makes the folder with `mode` and those above it that are missing with 0755. Throws Error{failed}.
void make_folder(const std::filesystem::path& path, mode_t mode);

/// No error where the file does not exist. Throws Error{failed}.
void remove_file(const std::filesystem::path& path);

}  // namespace ipmasq::os
