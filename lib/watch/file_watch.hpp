// Tells that files may have changed, also files that are not there yet. inotify(7).
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "os/file.hpp"

struct inotify_event;

namespace ipmasq::watch {

/// Watches paths by the folders that they are in: a file's own, those of the links that lead to it, a
/// folder's inside; where a folder is missing, the nearest one above it that is there. What happens there to
/// other names is nothing.
///
/// Where the kernel has no watch left to give, the same folders are to be looked at instead, again and again.
class FileWatch {
 public:
  using Endings = std::map<std::filesystem::path, std::vector<std::string>>;

  /// These and no others from now on; what does not exist yet, and a kernel that had no watch left, are asked
  /// again at each call. Watches nothing before the first. Whether something happened that has_changed() did
  /// not tell, and will not: to those that were watched before.
  /// `endings`: of these folders also each folder in them, and each name that ends so.
  bool watch(const std::set<std::filesystem::path>& paths, const Endings& endings = {});

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
  /// What matters in a folder.
  struct Names {
    bool are_all = false;
    std::set<std::string> names = {};
    bool are_folders = false;  ///< all of these as well
    std::vector<std::string> endings = {};

    bool operator==(const Names&) const = default;
    bool hold(const std::string& name, bool is_folder) const;
    void add(const Names& other);
  };
  using Folders = std::map<std::filesystem::path, Names>;

  enum class Inside { counts, does_not };
  static void add_folders(const std::filesystem::path& path, Inside inside, Folders& folders);
  static void add_endings(const Endings& endings, Folders& folders);
  static Folders folders_of(const std::set<std::filesystem::path>& paths, const Endings& endings);
  bool add_watches();
  bool take_events() const;
  bool matters(const inotify_event& event, const char* name) const;
  std::string look() const;

  os::FileDescriptor inotify_;
  std::map<int, Names> watches_;  ///< in inotify_
  Folders folders_;
  std::string problem_;
  std::string seen_;  ///< by the last look
};

}  // namespace ipmasq::watch
