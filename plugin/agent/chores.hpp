// What an agent looks after beside the rules, in a thread of its own: a disk that hangs keeps nobody from
// mending rules.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "plugin/agent/agent_report.hpp"
#include "plugin/agent/config_copy.hpp"
#include "plugin/commands/folders.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

struct ChoreDuties {
  FolderOptions asked_for = {};  ///< whose folders are meant, asked each time: a runtime may come later
  CommandFolders folders = {};   ///< those that were found first
  /// The type of a plugin: puts the entry behind it, and the program, back when somebody has taken them out.
  std::optional<std::string> keep_installed = {};
  std::optional<ConfigCopy> config_copy = {};  ///< follows the file
};

/// What came of them, a line each.
struct ChoresDone {
  std::string reason;                            ///< they were asked for
  CommandFolders folders = {};                   ///< that they were about
  std::set<std::filesystem::path> watched = {};  ///< what the entry and the folders hang on, there or not
  std::vector<std::string> changes = {};
  std::set<std::string> warnings = {};
  std::set<std::string> troubles = {};
  std::size_t kernel_changes = 0;
  bool could_not_adopt = false;             ///< pods that live: another try may do
  std::optional<bool> has_wrong_copy = {};  ///< see AgentReport
  bool is_without_copy = false;             ///< there is none, since it could not be made
};

class Chores {
 public:
  /// Pods are adopted within `lock_timeout`. Throws Error.
  Chores(const state::Store& store, const ChoreDuties& duties, std::chrono::nanoseconds lock_timeout);
  Chores(const Chores&) = delete;
  Chores& operator=(const Chores&) = delete;
  Chores(Chores&&) = delete;
  Chores& operator=(Chores&&) = delete;
  /// Waits for what is under way, though not for what hangs: that goes with the process.
  ~Chores();

  /// All of them, now, or as soon as what is under way has come to its end. `is_routine`: nothing tells
  /// whether anything changed. Throws Error{failed} where there can be no thread.
  void ask(const std::string& reason, bool is_routine);

  /// Readable when there is something to take.
  int descriptor() const;
  std::optional<ChoresDone> take();

  /// Can be asked by any thread.
  std::optional<AgentReport::Chore> under_way() const;

 private:
  struct Shared;
  static void work(Shared& shared);

  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace ipmasq::plugin
