// Locks between processes: flock(2) on a file, given up after a while.
#pragma once

#include <chrono>
#include <filesystem>

#include "os/file.hpp"

namespace ipmasq::os {

enum class LockKind { shared, exclusive };

/// Held until the end of its life, or of the process.
class FileLock {
 public:
  /// Makes the file (mode 0600) where it is missing, but no folder; a folder that is there can be locked as
  /// well. Where the file was removed while it was waited for, the one that is there now is locked. Throws
  /// Error: busy where somebody else still holds the lock after `timeout` (a day at most), or where SIGTERM
  /// or SIGINT is pending, which a caller that blocks them takes later; failed where the file cannot be
  /// opened. Works whatever signals the caller blocked.
  FileLock(const std::filesystem::path& path, LockKind kind, std::chrono::nanoseconds timeout);

 private:
  FileDescriptor file_;
};

}  // namespace ipmasq::os
