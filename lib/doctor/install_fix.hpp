// How ip-masq is put where it is missing, as a line of a fix.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "conflist/conflist.hpp"
#include "doctor/facts.hpp"

namespace ipmasq::doctor {

/// "# mend the file where it says so; ...": what is to be done by hand about a list of the folder.
std::string mend_and_try(const Facts& facts);

/// Puts the program into a folder, and the entry into a list, or into the one that multus made a copy of.
std::string install_into(const Facts& facts, const conflist::Network& list, const BinFolder& folder);

/// The same, with the folder where the runtime searches, or else the only one that has the list's other
/// programs; not to be pasted where neither is known, since no pod starts where the program is elsewhere.
std::string install_fix(const Facts& facts, const conflist::Network& list);

/// The same of a list of another folder of the node. `lists`: all of that folder.
std::string install_fix_in(const Facts& facts, const std::filesystem::path& conf_dir,
                           const std::vector<conflist::Network>& lists, const conflist::Network& list);

}  // namespace ipmasq::doctor
