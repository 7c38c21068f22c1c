// What a file has beside its bytes: owner, mode, and extended attributes with the access list among them.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "os/file.hpp"

namespace ipmasq::os {

struct FileAttributes {
  std::filesystem::path of = {};  ///< for the words; empty where no file has them
  uid_t user = 0;
  gid_t group = 0;
  mode_t mode = 0;  ///< permissions alone
  /// By name, such as system.posix_acl_access, security.selinux or user.note; without those that the kernel
  /// makes of the bytes themselves (security.ima, security.evm).
  std::map<std::string, std::string> extended = {};
};

/// nullopt where there is no file. Throws Error{failed}.
std::optional<FileAttributes> attributes_of(const std::filesystem::path& path);

/// Gives a new file of this process all of them, and no access list beside. `path`: for the words. Throws
/// Error{failed}, whose details say what to do, where one cannot be given.
void give(const FileDescriptor& file, const FileAttributes& attributes, const std::filesystem::path& path);

}  // namespace ipmasq::os
