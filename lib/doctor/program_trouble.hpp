// Why a file that is to be a plugin cannot be run.
#pragma once

#include <filesystem>
#include <string>

namespace ipmasq::doctor {

/// Of a regular file: "is empty", "is of another machine"; empty where nothing speaks against it. Only what
/// the kernel asks before it runs anything is looked at. Throws Error{failed} where it cannot be read.
std::string program_trouble(const std::filesystem::path& path);

}  // namespace ipmasq::doctor
