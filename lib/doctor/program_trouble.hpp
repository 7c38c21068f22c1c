// Why a file that is to be a plugin cannot be run.
#pragma once

#include <filesystem>
#include <string>

namespace ipmasq::doctor {

/// Of a regular file: "is empty", "is of another machine"; empty where nothing speaks against it. Only what
/// the kernel asks before it runs anything is looked at. Throws Error{failed} where it cannot be read.
std::string program_trouble(const std::filesystem::path& path);

/// Whether it is what is left of a file whose writer, or whose power, was cut off: empty, zeros alone, or ELF
/// that is shorter than it says. false of what is no regular file. Throws Error{failed} where it cannot be
/// read.
bool is_cut_off(const std::filesystem::path& path);

/// What stands there where that is neither a file nor a link to one, or to nothing: "a folder"; empty where
/// it is, or where nothing is. Throws Error{failed}.
std::string what_is_no_file(const std::filesystem::path& path);

/// A command that gives it another name beside.
std::string move_away(const std::filesystem::path& path);

}  // namespace ipmasq::doctor
