#include "plugin/commands/program_version.hpp"

#include <charconv>

#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::plugin {

namespace {

constexpr std::string_view before_version = "ip-masq ";
constexpr std::size_t longest_version_line = 64;

// The first version line in the text.
std::optional<Version> version_in(std::string_view text) {
  for (auto at = text.find(before_version); at != std::string_view::npos;
       at = text.find(before_version, at + 1)) {
    const auto rest = text.substr(at + before_version.size(), longest_version_line);
    const auto end = rest.find('\n');
    if (end == std::string_view::npos) continue;
    if (auto version = parse_version(rest.substr(0, end))) return version;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Version> parse_version(std::string_view text) {
  Version version{};
  const auto* at = text.data();
  const auto* const end = at + text.size();
  for (std::size_t number = 0; number < version.size(); ++number) {
    if (number > 0 && (at == end || *at++ != '.')) return std::nullopt;
    const auto [next, error] = std::from_chars(at, end, version.at(number));
    if (error != std::errc()) return std::nullopt;
    at = next;
  }
  return at == end ? std::optional(version) : std::nullopt;
}

std::string to_text(const Version& version) {
  return std::to_string(version[0]) + "." + std::to_string(version[1]) + "." + std::to_string(version[2]);
}

std::optional<Version> program_version(const std::filesystem::path& path) {
  if (!os::is_there(path)) return std::nullopt;
  os::Blocks blocks(path);
  std::string text;
  for (auto block = blocks.next(); !block.empty(); block = blocks.next()) {
    // A line may go from one block into the next.
    text.erase(0, text.size() - std::min(text.size(), longest_version_line));
    text += block;
    if (auto version = version_in(text)) return version;
  }
  return std::nullopt;
}

}  // namespace ipmasq::plugin
