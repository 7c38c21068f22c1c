// What install and uninstall do, said and done, or said alone.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "conflist/plan.hpp"

namespace ipmasq::plugin {

/// `pretend`: tells what it would do, and does nothing.
enum class Doing { act, pretend };

/// What an operator should know, and nothing was done about; a line each.
using Notes = std::vector<std::string>;

/// Under this suffix install keeps somebody else's program of our name.
inline constexpr std::string_view kept_suffix = ".before-ip-masq";

/// How often somebody else may write the same file while we are at it, and the rest in between.
inline constexpr int most_tries_to_write = 20;
inline constexpr auto rest_between_tries = std::chrono::milliseconds(50);

/// Of a file that somebody writes all the time.
[[noreturn]] void throw_busy(const std::filesystem::path& path);

/// "put X", or "would have put X". Nothing of nothing.
void tell(const std::string& done, Doing doing, std::ostream& output);

/// Whether it is a link to what is not there, or not seen here.
bool leads_nowhere(const std::filesystem::path& path);

/// Folders in it, links to some among them: where plugins of lists may stand.
std::vector<std::filesystem::path> folders_in(const std::filesystem::path& folder);

/// What was left there by calls that were cut short, and goes with the next one: told where it only pretends.
void tell_what_is_tidied_up(const std::filesystem::path& folder, Doing doing, std::ostream& output);

/// Makes plans until all steps of one were taken: `make` plans by what the folder's files say. Nothing is
/// done and nobody held off where there is nothing to do. `pretend` tells of each file that would change,
/// also of those beside others that are not worth a word once they are. Throws Error.
conflist::Plan carry_out(conflist::Plan plan, const std::string& folder, Doing doing, std::ostream& output,
                         const std::function<conflist::Plan()>& make);

}  // namespace ipmasq::plugin
