// Which version of ip-masq a program file is, told from its bytes: what it prints for --version stands in it.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace ipmasq::plugin {

/// What --version prints, and what program_version looks for.
inline constexpr std::string_view version_line = "ip-masq " IP_MASQ_VERSION "\n";

/// Major, minor, patch.
using Version = std::array<unsigned, 3>;

/// nullopt for a text that is none.
std::optional<Version> parse_version(std::string_view text);

std::string to_text(const Version& version);

/// nullopt where there is no file, or the file does not say. Throws Error where it cannot be read.
std::optional<Version> program_version(const std::filesystem::path& path);

}  // namespace ipmasq::plugin
