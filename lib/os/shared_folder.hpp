// Files in folders that other programs write into as well: what is not ours stays as it is, owner, mode and
// links included, whatever moment the power goes.
#pragma once

#include <filesystem>
#include <string_view>

#include "os/file_lock.hpp"

namespace ipmasq::os {

/// Holds other calls of this program off the folder, and takes away what one that was cut short has left
/// there. Throws Error.
class SharedFolder {
 public:
  explicit SharedFolder(const std::filesystem::path& folder);

 private:
  FileLock lock_;
};

/// The file is the old one or all of the new one at any time, and is on the disk on return. Owner and mode
/// stay; where `path` is a link, what it leads to is written. A new file gets owner and mode of `like`.
/// Throws Error, also for a file that cannot be replaced since it is mounted by itself.
void write_shared(const std::filesystem::path& path, std::string_view text,
                  const std::filesystem::path& like);

/// The same with the bytes of another file, of any size, and mode 0755.
void copy_program_shared(const std::filesystem::path& from, const std::filesystem::path& path);

/// What stands under `to` is replaced. Throws Error.
void rename_shared(const std::filesystem::path& from, const std::filesystem::path& to);

/// Gives a file a second name, which must be free. Throws Error.
void link_shared(const std::filesystem::path& file, const std::filesystem::path& name);

/// No error where there is none. Throws Error.
void remove_shared(const std::filesystem::path& path);

}  // namespace ipmasq::os
