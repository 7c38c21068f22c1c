#include "runtime/unit.hpp"

#include <array>
#include <filesystem>
#include <map>
#include <sstream>
#include <utility>

namespace ipmasq::runtime {

namespace {

namespace fs = std::filesystem;

// What comes later counts more.
constexpr std::array folders{"/usr/lib/systemd/system", "/lib/systemd/system",
                             "/usr/local/lib/systemd/system", "/run/systemd/system", "/etc/systemd/system"};

// The unit and its drop-ins in the order that they are read; none without the unit.
std::vector<fs::path> files_of(const std::string& unit, const NodeFiles& files) {
  std::vector<fs::path> paths;
  std::map<std::string, fs::path> drop_ins;
  for (const fs::path folder : folders) {
    if (files.is_there(folder / unit)) paths = {folder / unit};
    for (const auto& name : files.names_in(folder / (unit + ".d"))) {
      if (name.ends_with(".conf")) drop_ins[name] = folder / (unit + ".d") / name;
    }
  }
  if (paths.empty()) return paths;
  for (const auto& [name, path] : drop_ins) paths.push_back(path);
  return paths;
}

// Lines that end in "\" go on in the next one.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  bool goes_on = false;
  for (std::string line; std::getline(stream, line);) {
    const bool was_going_on = std::exchange(goes_on, line.ends_with('\\'));
    if (goes_on) line.back() = ' ';
    was_going_on ? lines.back() += line : lines.emplace_back(std::move(line));
  }
  return lines;
}

std::vector<std::string> words_of(const std::string& command) {
  std::vector<std::string> words;
  std::string word;
  char quote = '\0';
  bool is_in_word = false;
  for (const char letter : command) {
    if (quote != '\0' ? letter == quote : letter == '"' || letter == '\'') {
      quote = quote != '\0' ? '\0' : letter;
      is_in_word = true;
    } else if (quote == '\0' && (letter == ' ' || letter == '\t' || letter == '\r')) {
      if (std::exchange(is_in_word, false)) words.push_back(std::exchange(word, {}));
    } else {
      word += letter;
      is_in_word = true;
    }
  }
  if (is_in_word) words.push_back(word);
  return words;
}

struct Command {
  std::string text;
  std::string said_by;
};

// An empty ExecStart takes back those before it.
Command command_of(const std::vector<fs::path>& paths, const NodeFiles& files) {
  constexpr std::string_view key = "ExecStart";
  Command command;
  for (const auto& path : paths) {
    for (const auto& line : lines_of(files.text_of(path).value_or(""))) {
      const auto equals = line.find('=');
      const auto begin = line.find_first_not_of(" \t");
      if (equals == std::string::npos || begin == std::string::npos) continue;
      const auto end = line.find_last_not_of(" \t", equals - (equals > 0 ? 1 : 0));
      if (line.substr(begin, end + 1 - begin) == key) command = {line.substr(equals + 1), path.string()};
    }
  }
  return command;
}

}  // namespace

std::optional<UnitOption> option_of(const std::vector<std::string>& units, std::string_view name,
                                    const NodeFiles& files) {
  for (const auto& unit : units) {
    const auto paths = files_of(unit, files);
    if (paths.empty()) continue;
    const auto command = command_of(paths, files);
    const auto flag = "--" + std::string(name);
    std::optional<UnitOption> option;
    const auto words = words_of(command.text);
    for (std::size_t at = 0; at < words.size(); ++at) {
      if (words[at].starts_with(flag + "=")) option = {words[at].substr(flag.size() + 1), command.said_by};
      if (words[at] == flag && at + 1 < words.size()) option = {words[at + 1], command.said_by};
    }
    return option;
  }
  return std::nullopt;
}

}  // namespace ipmasq::runtime
