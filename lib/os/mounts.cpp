#include "os/mounts.hpp"

#include <sstream>
#include <system_error>

#include "os/file.hpp"

namespace ipmasq::os {

namespace {

namespace fs = std::filesystem;

bool is_octal(char letter) {
  return letter >= '0' && letter <= '7';
}

// The kernel writes spaces, and the like, as "\040".
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool is_escape = text[at] == '\\' && at + 3 < text.size() && is_octal(text[at + 1]) &&
                           is_octal(text[at + 2]) && is_octal(text[at + 3]);
    if (!is_escape) {
      plain += text[at];
      continue;
    }
    plain += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0'));
    at += 3;
  }
  return plain;
}

bool is_below(const std::string& folder, const std::string& mount_point) {
  return mount_point == "/" || folder == mount_point || folder.starts_with(mount_point + "/");
}

struct Mount {
  std::string point;
  bool is_of_a_group = false;  ///< to which mounts come
};

// "36 35 98:0 /root /point options [shared:1] [master:2] ... - type source options"
Mount parse(const std::string& line) {
  std::istringstream fields(line);
  std::string field;
  Mount mount;
  for (int number = 1; number <= 5; ++number) fields >> field;
  mount.point = unescaped(field);
  while (fields >> field && field != "-")
    mount.is_of_a_group = mount.is_of_a_group || field.starts_with("shared:") || field.starts_with("master:");
  return mount;
}

}  // namespace

bool receives_mounts(std::string_view mountinfo, const std::string& folder) {
  std::istringstream lines{std::string(mountinfo)};
  std::string line;
  Mount on;
  while (std::getline(lines, line)) {
    auto mount = parse(line);
    // Of two at one place the later one lies on top.
    if (is_below(folder, mount.point) && mount.point.size() >= on.point.size()) on = std::move(mount);
  }
  return on.is_of_a_group;
}

bool receives_mounts(const fs::path& folder) {
  std::error_code error;
  const auto plain = fs::canonical(folder, error);
  return !error && receives_mounts(read_file("/proc/self/mountinfo").value_or(""), plain.string());
}

}  // namespace ipmasq::os
