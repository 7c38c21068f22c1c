#include "os/file_attributes.hpp"

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "error/error.hpp"

namespace ipmasq::os {

namespace {

constexpr auto access_list = "system.posix_acl_access";

bool is_of_the_bytes(const std::string& name) {
  return name == "security.ima" || name == "security.evm";
}

// What `read` fills a buffer of a size with; a size of 0 asks how much there is. nullopt with errno.
std::optional<std::string> read_value(const std::function<ssize_t(char*, std::size_t)>& read) {
  for (;;) {
    const auto size = read(nullptr, 0);
    if (size <= 0) return size == 0 ? std::optional(std::string()) : std::nullopt;
    std::string value(static_cast<std::size_t>(size), '\0');
    const auto got = read(value.data(), value.size());
    if (got < 0 && errno == ERANGE) continue;  // it grew meanwhile
    if (got < 0) return std::nullopt;
    value.resize(static_cast<std::size_t>(got));
    return value;
  }
}

std::map<std::string, std::string> extended_of(const std::filesystem::path& path) {
  std::map<std::string, std::string> extended;
  const auto names =
      read_value([&path](char* buffer, std::size_t size) { return ::listxattr(path.c_str(), buffer, size); });
  if (!names) {
    if (errno == ENOTSUP) return extended;
    throw_errno("cannot read the extended attributes of " + path.string());
  }
  for (std::size_t at = 0; at < names->size();) {
    const std::string name = names->c_str() + at;
    at += name.size() + 1;
    if (is_of_the_bytes(name)) continue;
    const auto value = read_value([&path, &name](char* buffer, std::size_t size) {
      return ::getxattr(path.c_str(), name.c_str(), buffer, size);
    });
    if (value) {
      extended.emplace(name, *value);
    } else if (errno != ENODATA && errno != ENOTSUP) {  // gone meanwhile, or listed only
      throw_errno("cannot read the extended attribute " + name + " of " + path.string());
    }
  }
  return extended;
}

void give_extended(const FileDescriptor& file, const FileAttributes& attributes) {
  for (const auto& [name, value] : attributes.extended) {
    const auto there = read_value([&file, &name = name](char* buffer, std::size_t size) {
      return ::fgetxattr(file.number(), name.c_str(), buffer, size);
    });
    if (there == value) continue;
    if (::fsetxattr(file.number(), name.c_str(), value.data(), value.size(), 0) == 0) continue;
    throw Error(
        Kind::failed,
        "cannot keep the extended attribute " + name + " of " + attributes.of.string() + ": " +
            text_of(errno),
        "where nothing needs it, \"setfattr -x " + name + " " + attributes.of.string() + "\" takes it off");
  }
  // From the folder's default one.
  if (attributes.extended.contains(access_list) || ::fremovexattr(file.number(), access_list) == 0) return;
  if (errno != ENODATA && errno != ENOTSUP)
    throw_errno("cannot take the folder's access list off a new file");
}

}  // namespace

std::optional<FileAttributes> attributes_of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0)
    return FileAttributes{path, status.st_uid, status.st_gid, status.st_mode & 07777U, extended_of(path)};
  if (errno != ENOENT) throw_errno("cannot look at " + path.string());
  return std::nullopt;
}

// The owner comes last: who is root without CAP_FOWNER may do nothing more then.
void give(const FileDescriptor& file, const FileAttributes& attributes, const std::filesystem::path& path) {
  give_extended(file, attributes);
  if (::fchmod(file.number(), attributes.mode) != 0) throw_errno("cannot set the mode of " + path.string());
  struct stat status {};
  if (::fstat(file.number(), &status) != 0) throw_errno("cannot look at " + path.string());
  if (status.st_uid == attributes.user && status.st_gid == attributes.group) return;
  if (::fchown(file.number(), attributes.user, attributes.group) != 0)
    throw_errno("cannot set the owner of " + path.string());
}

}  // namespace ipmasq::os
