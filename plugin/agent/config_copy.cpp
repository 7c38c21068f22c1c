#include "plugin/agent/config_copy.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "cni/json.hpp"
#include "config/agent_file.hpp"
#include "config/netconf_reading.hpp"
#include "error/error.hpp"
#include "os/file.hpp"
#include "os/node_name.hpp"

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

// Where the plugin is called nobody may know by which name the cluster calls the node.
std::string text_for_node(const config::AgentFile& file) {
  std::string text = "# " + cni::excerpt(file.path.string()) + ", of it what is for the node " +
                     cni::excerpt(file.node) + "\n";
  if (file.keys.empty()) text += "{}\n";
  for (const auto& [key, value] : file.keys.items()) {
    text += key + ":";
    if (!value.is_array() || value.empty()) {
      text += " " + cni::to_text(value) + "\n";
      continue;
    }
    text += "\n";
    for (const auto& item : value) text += "- " + cni::to_text(item) + "\n";
  }
  return text;
}

struct Text {
  std::string text;
  std::vector<std::string> warnings = {};
  std::string slip = {};  ///< why it is not to stand instead of one that was good
};

// What plugin calls are to read.
Text text_for_calls(std::string source, const fs::path& from) {
  const auto file = config::parse_agent_file(source, from, os::node_name());
  if (!file) return {.text = std::move(source), .slip = config::told_of_nothing(from)};
  config::check_values(*file);
  const auto slip = file->slips.empty() ? "" : file->slips.front();
  if (file->node.empty()) return {.text = std::move(source), .slip = slip};
  Text text{.text = text_for_node(*file), .warnings = file->slips, .slip = slip};
  std::ranges::copy(file->warnings, std::back_inserter(text.warnings));
  return text;
}

void link(const fs::path& path) {
  std::error_code error;
  fs::create_symlink(hidden_name(path), path, error);
  if (error) {
    throw Error(Kind::failed, "cannot make the link " + path.string() + ": " + error.message());
  }
}

}  // namespace

Copied follow(const ConfigCopy& copy, WhenGone when_gone) {
  std::optional<std::string> source;
  auto from = copy.from.begin();
  while (from != copy.from.end() && !(source = os::read_file(*from))) ++from;
  if (!source) return {when_gone == WhenGone::remove ? remove_copy(copy.to) : ""};
  if (os::is_there(copy.to) && !is_ours(copy.to)) {
    throw Error(Kind::failed, copy.to.string() + " was put there by somebody else: remove it, for " +
                                  from->string() + " to be followed");
  }
  const auto bytes = bytes_of(copy.to);
  const auto there = os::is_there(copy.to) ? os::read_file(bytes) : std::nullopt;
  Text text;
  try {
    text = text_for_calls(std::move(*source), *from);
    if (there == text.text) return {.warnings = std::move(text.warnings)};
    if (!text.slip.empty() && os::is_there(copy.to)) throw Error(Kind::wrong_config, text.slip);
  } catch (const Error& error) {
    throw Error(Kind::wrong_config,
                "config-wrong: " + copy.to.string() + " keeps what was good last: " + error.what());
  }
  os::make_folder(copy.to.parent_path(), 0755);
  os::replace_file(bytes, text.text, everybody_reads);
  if (!os::is_there(copy.to)) link(copy.to);
  return {"copied " + from->string() + " to " + copy.to.string(), std::move(text.warnings)};
}

std::vector<fs::path> files_of_copy(const fs::path& to) {
  if (!is_ours(to)) return {};
  const auto bytes = bytes_of(to);
  return os::is_there(bytes) ? std::vector{to, bytes} : std::vector{to};
}

std::string remove_copy(const fs::path& to) {
  const auto files = files_of_copy(to);
  if (files.empty()) return "";
  for (const auto& each : files) os::remove_file(each);
  return "removed " + to.string();
}

}  // namespace ipmasq::plugin
