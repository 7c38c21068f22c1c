#include "plugin/agent/config_copy.hpp"

#include <optional>
#include <system_error>

#include "config/agent_file.hpp"
#include "config/netconf.hpp"
#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::plugin {

namespace {

namespace fs = std::filesystem;

constexpr mode_t everybody_reads = 0644;

// Where the bytes are, as the link has it.
fs::path hidden_name(const fs::path& path) {
  return "." + path.filename().string();
}

fs::path bytes_of(const fs::path& path) {
  return path.parent_path() / hidden_name(path);
}

bool is_ours(const fs::path& path) {
  std::error_code error;
  return fs::read_symlink(path, error) == hidden_name(path) && !error;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

// What plugin calls read is good, or is what was good last.
void check_text(const std::string& text, const fs::path& from, const fs::path& to) {
  try {
    const auto file = config::parse_agent_file(text, from);
    if (file) config::check_values(*file);
    const auto slip = !file ? config::told_of_nothing(from) : file->slips.empty() ? "" : file->slips.front();
    if (!slip.empty() && is_there(to)) throw Error(Kind::wrong_config, slip);
  } catch (const Error& error) {
    throw Error(Kind::wrong_config,
                "config-wrong: " + to.string() + " keeps what was good last: " + error.what());
  }
}

void link(const fs::path& path) {
  std::error_code error;
  fs::create_symlink(hidden_name(path), path, error);
  if (error) {
    throw Error(Kind::failed, "cannot make the link " + path.string() + ": " + error.message());
  }
}

}  // namespace

std::string follow(const ConfigCopy& copy, WhenGone when_gone) {
  std::optional<std::string> text;
  auto from = copy.from.begin();
  while (from != copy.from.end() && !(text = os::read_file(*from))) ++from;
  if (!text) return when_gone == WhenGone::remove ? remove_copy(copy.to) : "";
  if (is_there(copy.to) && !is_ours(copy.to)) {
    throw Error(Kind::failed, copy.to.string() + " was put there by somebody else: remove it, for " +
                                  from->string() + " to be followed");
  }
  const auto bytes = bytes_of(copy.to);
  if (is_there(copy.to) && os::read_file(bytes) == text) return "";
  check_text(*text, *from, copy.to);
  os::make_folder(copy.to.parent_path(), 0755);
  os::replace_file(bytes, *text, everybody_reads);
  if (!is_there(copy.to)) link(copy.to);
  return "copied " + from->string() + " to " + copy.to.string();
}

std::vector<fs::path> files_of_copy(const fs::path& to) {
  if (!is_ours(to)) return {};
  const auto bytes = bytes_of(to);
  return is_there(bytes) ? std::vector{to, bytes} : std::vector{to};
}

std::string remove_copy(const fs::path& to) {
  const auto files = files_of_copy(to);
  if (files.empty()) return "";
  for (const auto& each : files) os::remove_file(each);
  return "removed " + to.string();
}

}  // namespace ipmasq::plugin
