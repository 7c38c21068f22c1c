#include "os/obstacle.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "error/error.hpp"

namespace ipmasq::os {

namespace {

namespace fs = std::filesystem;
using Status = struct statx;

// nullopt where there is none, or where nobody can look.
std::optional<Status> status_of(const fs::path& path) {
  Status status{};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_MODE | STATX_UID, &status) != 0) return std::nullopt;
  return status;
}

bool acts_for_owners() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  constexpr std::uint32_t bit = 1U << static_cast<unsigned>(CAP_FOWNER);
  return ::syscall(SYS_capget, &header, sets.data()) == 0 && (sets.front().effective & bit) != 0;
}

std::optional<Obstacle> attribute_of(const Status& status, const fs::path& path) {
  if ((status.stx_attributes & STATX_ATTR_IMMUTABLE) != 0) return Obstacle{Obstacle::Kind::immutable, path};
  if ((status.stx_attributes & STATX_ATTR_APPEND) != 0) return Obstacle{Obstacle::Kind::append_only, path};
  return std::nullopt;
}

fs::path holder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

fs::path led_to_by(const fs::path& path) {
  std::error_code error;
  auto target = fs::canonical(path, error);
  return error ? path : target;
}

}  // namespace

std::string Obstacle::told() const {
  switch (kind) {
    case Kind::immutable:
      return of.string() + " is immutable (chattr +i)";
    case Kind::append_only:
      return of.string() + " is append-only (chattr +a)";
    case Kind::sticky:
      return of.string() + " is sticky (chmod +t), and neither it nor the file belongs to user " +
             std::to_string(::geteuid());
  }
  return {};
}

std::string Obstacle::option() const {
  return kind == Kind::immutable ? "-i" : kind == Kind::append_only ? "-a" : "";
}

std::string Obstacle::fix() const {
  const auto taken = option();
  if (taken.empty()) return "run it as the owner of the file, or with the capability CAP_FOWNER";
  return "\"chattr " + taken + " " + of.string() +
         "\" takes that off; who put it on meant that nobody writes there";
}

std::optional<Obstacle> obstacle_before(const fs::path& path) {
  const auto target = led_to_by(path);
  const auto file = status_of(target);
  if (file) {
    if (auto found = attribute_of(*file, target)) return found;
  }
  const auto parent = holder_of(target);
  const auto folder = status_of(parent);
  if (!folder) return std::nullopt;
  if (auto found = attribute_of(*folder, parent)) return found;
  const bool is_ours = folder->stx_uid == ::geteuid() || !file || file->stx_uid == ::geteuid();
  if ((folder->stx_mode & S_ISVTX) == 0 || is_ours || acts_for_owners()) return std::nullopt;
  return Obstacle{Obstacle::Kind::sticky, parent};
}

void check_no_obstacle_before(const fs::path& path) {
  if (const auto found = obstacle_before(path))
    throw Error(Kind::failed, "cannot replace " + path.string() + ": " + found->told(), found->fix());
}

std::string fix_of(int number, const fs::path& path) {
  const auto folder = holder_of(path).string();
  switch (number) {
    case ENOSPC:
      return "\"df -h " + folder + "\" tells of the room there, \"df -i " + folder +
             "\" of how many files there may be";
    case EDQUOT:
      return "the quota of user " + std::to_string(::geteuid()) +
             " or of the project is used up there: \"repquota -a\" tells";
    case EROFS:
      return "\"findmnt -T " + folder + "\" tells what is mounted read-only there";
    case EPERM:
    case EACCES: {
      const auto found = obstacle_before(path);
      return found ? found->told() + ": " + found->fix() : "";
    }
    default:
      return {};
  }
}

void throw_errno_of(const std::string& tried, const fs::path& path) {
  const int number = errno;
  throw Error(Kind::failed, tried + ": " + text_of(number), fix_of(number, path));
}

}  // namespace ipmasq::os
