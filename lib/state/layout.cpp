#include "state/layout.hpp"

#include <algorithm>
#include <system_error>

#include "error/error.hpp"

namespace ipmasq::state {

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory) {
    throw Error(Kind::failed, "cannot read the folder " + folder.string() + ": " + error.message());
  }
  std::ranges::sort(names);
  return names;
}

// A '/' can be in no file name.
std::string marker_name(const net::Prefix& subnet) {
  auto name = net::to_text(subnet);
  std::ranges::replace(name, '/', '_');
  return name;
}

std::optional<net::Prefix> parse_marker_name(std::string name) {
  std::ranges::replace(name, '_', '/');
  const auto parsed = net::parse_interface_address(name);
  return parsed ? std::optional(parsed->network()) : std::nullopt;
}

}  // namespace ipmasq::state
