// The plugin on a node as operators install it: the binary in the runtime's folder, the entry in a conflist.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "conflist/conflist.hpp"
#include "conflist/plan.hpp"
#include "error/error.hpp"
#include "plugin/commands/carry_out.hpp"
#include "watch/file_watch.hpp"

namespace ipmasq::plugin {

struct InstallTarget {
  std::filesystem::path bin_dir = "/opt/cni/bin";
  std::filesystem::path conf_dir = "/etc/cni/net.d";
  std::string after = "flannel";  ///< the type of a plugin in the conflist that is meant
  /// Where the runtime looks for plugins, as the node's files say, bin_dir among them; empty where they do
  /// not.
  std::vector<std::filesystem::path> searched = {};
  std::string contradiction = {};  ///< what the node's files say against bin_dir, which the operator named
  bool is_meant = false;           ///< all the same: both folders are named
  /// Of lists for the pods of one runtime alone, as the node's files say.
  std::vector<std::filesystem::path> conf_dirs_of_runtimes = {};
  std::vector<std::filesystem::path> conf_dirs_of_revisions = {};  ///< see runtime::Folders::other_revisions
  conflist::Taken taken = {};                                      ///< of conf_dir, as the node's files say
  conflist::Named named = {};                                      ///< the same
};

/// Copies this program, unless a newer one is there (what is empty or cut off in its place is nobody's), then
/// puts our entry into the first conflist that a runtime loads and that holds the plugin named; tells what it
/// changed. Each file is the old one or all of the new one at any time; the conflist as it was stays beside
/// it as FILE.before-ip-masq. Where all is as it should be nothing is written. Where a runtime would not find
/// the program (plugin_folders.hpp), or where what has its name is no file, nothing is changed. Throws Error,
/// and has then changed no conflist, or says so.
Notes install(const InstallTarget& target, Doing doing, std::ostream& output);

/// The same; where it could be done later, when there is such a conflist or what it asks for, why not now.
std::optional<Error> try_to_install(const InstallTarget& target, Doing doing, Notes& notes,
                                    std::ostream& output);

/// Why nothing can be done where no conflist has that plugin; without details.
Error no_conflist(const InstallTarget& target);

/// The lists that install would write now, as it would write them. Throws Error.
std::vector<conflist::Network> lists_once_installed(const InstallTarget& target);

/// Each program that the conflist asks for, ours among them, in each folder where it may be: for who waits
/// for them. Throws Error.
std::set<std::filesystem::path> programs_asked_for(const InstallTarget& target);

/// What of a folder of conflists install reads, for who waits for changes of it.
watch::FileWatch::Endings conflists_of(const std::filesystem::path& conf_dir);

}  // namespace ipmasq::plugin
