// The folders that a command is about: those that the operator names, or those that the node's runtime uses.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "error/error.hpp"
#include "plugin/commands/install.hpp"
#include "runtime/flavour.hpp"
#include "runtime/node_files.hpp"

namespace ipmasq::plugin {

/// As --flavour, --conf-dir and --bin-dir say.
struct FolderOptions {
  bool has_flavour = false;
  std::optional<runtime::Flavour> flavour = {};  ///< none: what is found ("auto")
  std::optional<std::filesystem::path> conf_dir = {};
  std::optional<std::filesystem::path> bin_dir = {};
  std::vector<std::filesystem::path> more_bin_dirs = {};  ///< of doctor, beside bin_dir

  /// A folder that is named stands; without --flavour none is looked for then, since who names one, in a
  /// container most of all, has the node's files elsewhere.
  bool asks_the_node() const { return has_flavour || (!conf_dir && !bin_dir); }
};

struct CommandFolders {
  std::filesystem::path conf_dir;
  std::filesystem::path bin_dir;
  std::string reason = {};  ///< why these: a line; empty where the operator named them
  bool is_found = false;    ///< by the node's files
  std::string trouble =
      {};  ///< why these are the usual ones, and the runtime's are not known: nothing is to be put there
  std::vector<std::filesystem::path> searched = {};  ///< this and the next five: see InstallTarget
  std::string contradiction = {};
  bool is_meant = false;
  std::vector<std::filesystem::path> conf_dirs_of_runtimes = {};
  std::vector<std::filesystem::path> conf_dirs_of_revisions = {};
  conflist::Taken taken = {};
  conflist::Named named = {};

  bool operator==(const CommandFolders&) const = default;
};

/// Whether both lead to one folder, or would.
bool is_same(const std::filesystem::path& left, const std::filesystem::path& right);

/// Throws Error, as runtime::choose.
CommandFolders folders_for(const FolderOptions& options,
                           const runtime::NodeFiles& files = runtime::RealNodeFiles());

InstallTarget target_in(const CommandFolders& folders, const std::string& after);

/// What went wrong and what to do about it, as one line.
std::string whole_text(const Error& error);

/// The same for who cannot stop: where the node's files cannot be told from, the usual folders, and why as
/// `trouble`. No reason where they say nothing.
CommandFolders folders_for_agent(const FolderOptions& options,
                                 const runtime::NodeFiles& files = runtime::RealNodeFiles());

/// Whether the node's own runtime reads this folder, as far as is known, or whether somebody prepares
/// another.
bool is_of_this_node(const std::filesystem::path& conf_dir);

/// What doctor looks at.
struct DoctorFolders {
  doctor::ListsFolder lists;
  doctor::PluginFolders plugins = {};
  doctor::Taking taking = {};
  std::vector<doctor::OwnLists> own_lists = {};  ///< without the lists
  std::vector<doctor::OwnLists> revisions = {};  ///< see doctor::Surroundings; without the lists
  std::vector<std::string> elsewhere = {};       ///< see doctor::Surroundings
  std::vector<std::string> not_looked = {};      ///< why the runtime's folders cannot be told
};

DoctorFolders folders_for_doctor(const FolderOptions& options);

}  // namespace ipmasq::plugin
