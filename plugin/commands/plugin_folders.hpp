// Whether a runtime that starts pods by a list would find our program: its folder, and where the list's other
// plugins are.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "conflist/conflist.hpp"
#include "error/error.hpp"
#include "plugin/commands/install.hpp"

namespace ipmasq::plugin {

struct PlaceJudged {
  std::optional<Error> refusal = {};  ///< wrong_config: with us in the list no pod would start
  Notes notes = {};
};

/// Pods start by this list, so a runtime finds its plugins. Where the folders are not known by a runtime's
/// own files and lack some of them, the runtime looks elsewhere, or elsewhere as well: refused where another
/// folder that runtimes use has them all, or where even the plugin `after` is missing and the list has no
/// entry yet. Where they are known, what is missing is to be brought there: refused where that is the plugin
/// `after`, unless the list has an entry, which needs the program whatever else is missing. A folder that the
/// runtime's files speak against is refused, unless both folders are named. Else what is missing is noted.
/// Names count, whatever they lead to: what is a link on the node may lead nowhere in a container.
PlaceJudged judge(const InstallTarget& target, const conflist::Network& list);

/// The lists that ask for our program of bin_dir, in conf_dir and in each folder of lists whose runtime looks
/// for plugins there, as the node's files say. What cannot be looked at goes to `not_looked`.
std::vector<std::filesystem::path> lists_that_ask(const InstallTarget& target,
                                                  std::vector<std::string>& not_looked);

/// See programs_asked_for.
std::set<std::filesystem::path> programs_of(const InstallTarget& target, const conflist::Network& list);

}  // namespace ipmasq::plugin
