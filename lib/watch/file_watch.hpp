// Tells that files may have changed, also files that are not there yet. inotify(7).
#pragma once

#include <filesystem>
#include <set>

#include "os/file.hpp"

namespace ipmasq::watch {

/// Watches the folders of paths: a file's own, the one that its link leads to, a folder's inside; where a
/// folder is missing, the nearest one above it that is there. A ConfigMap's files change by a link in their
/// folder that is swapped, which shows there as well.
class FileWatch {
 public:
  /// Throws Error{failed}.
  FileWatch();

  /// These and no others from now on; what does not exist yet is looked for again at each call. Throws
  /// Error{failed}.
  void watch(const std::set<std::filesystem::path>& paths);

  /// Readable when something happened.
  int descriptor() const { return inotify_.number(); }
  /// Takes away all that was told until now.
  void drain();

 private:
  os::FileDescriptor inotify_;
};

}  // namespace ipmasq::watch
