#include "runtime/unit.hpp"

#include <algorithm>
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

bool is_comment(const std::string& line) {
  const auto begin = line.find_first_not_of(" \t");
  return begin != std::string::npos && (line[begin] == '#' || line[begin] == ';');
}

// Lines that end in "\" go on in the next one that is no comment.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  bool goes_on = false;
  for (std::string line; std::getline(stream, line);) {
    if (is_comment(line)) continue;
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

struct Setting {
  std::string text;
  std::string said_by;
};

// Of a key, in their order. An empty one takes back those before it.
std::vector<Setting> settings_of(const std::vector<fs::path>& paths, std::string_view key,
                                 const NodeFiles& files) {
  std::vector<Setting> settings;
  for (const auto& path : paths) {
    for (const auto& line : lines_of(files.text_of(path).value_or(""))) {
      const auto equals = line.find('=');
      const auto begin = line.find_first_not_of(" \t");
      if (equals == std::string::npos || begin == std::string::npos) continue;
      const auto end = line.find_last_not_of(" \t", equals - (equals > 0 ? 1 : 0));
      if (line.substr(begin, end + 1 - begin) != key) continue;
      auto text = line.substr(equals + 1);
      if (text.find_first_not_of(" \t\r") == std::string::npos) {
        settings.clear();
      } else {
        settings.push_back({std::move(text), path.string()});
      }
    }
  }
  return settings;
}

std::vector<fs::path> files_of_first(const std::vector<std::string>& units, const NodeFiles& files) {
  for (const auto& unit : units) {
    if (auto paths = files_of(unit, files); !paths.empty()) return paths;
  }
  return {};
}

// "NAME=VALUE" among the words of a text.
void take_variable(const Setting& from, std::string_view name, std::optional<UnitOption>& found) {
  const auto before = std::string(name) + "=";
  for (const auto& word : words_of(from.text)) {
    if (word.starts_with(before)) found = {word.substr(before.size()), from.said_by};
  }
}

// What EnvironmentFile names: "-" is for one that need not be there, %N for the unit's name.
fs::path environment_file(const Setting& setting, const fs::path& unit) {
  const auto words = words_of(setting.text);
  std::string path = words.empty() ? "" : words.front();
  if (path.starts_with('-')) path.erase(0, 1);
  if (const auto place = path.find("%N"); place != std::string::npos) path.replace(place, 2, unit.stem());
  return path;
}

}  // namespace

std::optional<UnitOption> option_of(const std::vector<std::string>& units,
                                    const std::vector<std::string>& names, const NodeFiles& files) {
  const auto commands = settings_of(files_of_first(units, files), "ExecStart", files);
  std::optional<UnitOption> option;
  if (commands.empty()) return option;
  const auto words = words_of(commands.back().text);
  for (std::size_t at = 0; at < words.size(); ++at) {
    for (const auto& name : names) {
      const auto dashes = std::min(words[at].find_first_not_of('-'), words[at].size());
      if (dashes < 1 || dashes > 2) continue;
      const auto word = words[at].substr(dashes);
      if (word.starts_with(name + "=")) option = {word.substr(name.size() + 1), commands.back().said_by};
      if (word == name && at + 1 < words.size()) option = {words[at + 1], commands.back().said_by};
    }
  }
  return option;
}

std::optional<UnitOption> variable_of(const std::vector<std::string>& units, std::string_view name,
                                      const NodeFiles& files) {
  std::optional<UnitOption> found;
  const auto paths = files_of_first(units, files);
  for (const auto& setting : settings_of(paths, "Environment", files)) take_variable(setting, name, found);
  for (const auto& setting : settings_of(paths, "EnvironmentFile", files)) {
    const auto path = environment_file(setting, paths.front());
    const auto text = path.is_absolute() ? files.text_of(path) : std::nullopt;
    for (const auto& line : lines_of(text.value_or(""))) take_variable({line, path.string()}, name, found);
  }
  return found && found->value.empty() ? std::nullopt : found;
}

}  // namespace ipmasq::runtime
