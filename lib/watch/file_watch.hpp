// Tells that files may have changed, also files that are not there yet. inotify(7).
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "os/file.hpp"

namespace ipmasq::watch {

/// Watches the folders of paths: a file's own, those of the links that lead to it, a folder's inside; where a
/// folder is missing, the nearest one above it that is there.
///
/// Where the kernel has no watch left to give, the same folders are to be looked at instead, again and again.
class FileWatch {
 public:
  /// These and no others from now on; what does not exist yet, and a kernel that had no watch left, are asked
  /// again at each call. Watches nothing before the first. Whether something changed that has_changed() was
  /// not asked about, and does not tell of any more.
  bool watch(const std::set<std::filesystem::path>& paths);

  /// Why the kernel does not tell; empty where it does.
  const std::string& problem() const { return problem_; }

  /// Readable when something happened; -1 where the kernel does not tell.
  int descriptor() const { return problem_.empty() ? inotify_.number() : -1; }

  /// For how long poll(2) may wait for the descriptor, in milliseconds: for ever, or until the next look.
  int timeout() const { return problem_.empty() ? -1 : look_interval; }
  static constexpr int look_interval = 1000;

  /// Whether something happened since watch(), or since this was asked last.
  bool has_changed();

 private:
  bool add_watches();
  bool take_events() const;
  std::string look() const;

  os::FileDescriptor inotify_;
  std::set<int> watches_;  ///< in inotify_
  std::set<std::filesystem::path> folders_;
  std::string problem_;
  std::string seen_;  ///< by the last look
};

}  // namespace ipmasq::watch
