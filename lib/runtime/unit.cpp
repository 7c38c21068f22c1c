#include "runtime/unit.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <map>
#include <span>
#include <sstream>
#include <utility>

#include "error/error.hpp"
#include "runtime/environment_file.hpp"
#include "runtime/words.hpp"

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

// systemd's own word on a unit that runs, and what enables one.
constexpr std::array marks{"/run/systemd/units/invocation:", "/etc/systemd/system/multi-user.target.wants/"};

// Of a server and an agent that came in one archive those that are used.
std::vector<std::string> units_that_count(const std::vector<std::string>& units, const NodeFiles& files) {
  std::vector<std::string> there;
  std::ranges::copy_if(units, std::back_inserter(there),
                       [&files](const std::string& unit) { return !files_of(unit, files).empty(); });
  const auto marked = [&](const std::string& before) {
    std::vector<std::string> found;
    std::ranges::copy_if(there, std::back_inserter(found),
                         [&](const std::string& unit) { return files.is_there(before + unit); });
    return found;
  };
  if (there.size() < 2) return there;
  for (const auto* const before : marks) {
    if (auto found = marked(before); !found.empty()) return found;
  }
  return there;
}

// "%N" and "%p" as the unit's name without what follows the last '.'; others are left.
std::string with_specifiers(std::string text, const std::string& unit) {
  const auto stem = fs::path(unit).stem().string();
  for (std::size_t at = 0; (at = text.find('%', at)) != std::string::npos; ++at) {
    const char which = at + 1 < text.size() ? text[at + 1] : '\0';
    if (which != '%' && which != 'n' && which != 'N' && which != 'p') continue;
    const auto stands_for = which == '%' ? "%" : which == 'n' ? unit : stem;
    text.replace(at, 2, stands_for);
    at += stands_for.size() - 1;
  }
  return text;
}

struct Variable {
  std::string value;
  std::string said_by;
};

// What a unit's process has in its environment, of its own settings.
std::map<std::string, Variable> environment_of(const std::string& unit, const NodeFiles& files) {
  std::map<std::string, Variable> variables;
  const auto paths = files_of(unit, files);
  for (const auto& setting : settings_of(paths, "Environment", files)) {
    for (const auto& word : unquoted_words(setting.text)) {
      const auto equals = word.find('=');
      if (equals == std::string::npos) continue;
      variables[word.substr(0, equals)] = {with_specifiers(word.substr(equals + 1), unit), setting.said_by};
    }
  }
  for (const auto& setting : settings_of(paths, "EnvironmentFile", files)) {
    const auto words = unquoted_words(setting.text);
    auto path = words.empty() ? std::string() : with_specifiers(words.front(), unit);
    if (path.starts_with('-')) path.erase(0, 1);  // one that need not be there
    if (path.find_first_of("*?[") != std::string::npos)
      throw Error(Kind::wrong_config,
                  setting.said_by + ": which files EnvironmentFile=" + path + " names is not looked up");
    const auto text = fs::path(path).is_absolute() ? files.text_of(path) : std::nullopt;
    for (auto& [name, value] : parse_environment(text.value_or(""))) variables[name] = {value, path};
  }
  return variables;
}

Variables values_of(const std::map<std::string, Variable>& environment) {
  Variables values;
  for (const auto& [name, variable] : environment) values.emplace(name, variable.value);
  return values;
}

// "cri-dockerd" of cri-docker.service, "k3s" of k3s-agent.service.
bool is_program_of(const std::string& unit, const std::string& word) {
  constexpr std::size_t shortest = 3;
  const auto stem = fs::path(unit).stem().string();
  const auto name = fs::path(word).filename().string();
  return name.starts_with(stem) || (name.size() >= shortest && stem.starts_with(name));
}

bool has_program_of(const std::string& unit, const std::vector<Word>& words) {
  return std::ranges::any_of(words, [&unit](const Word& word) { return is_program_of(unit, word.text); });
}

bool is_shell(const Word& word) {
  constexpr std::array<std::string_view, 4> shells{"sh", "bash", "dash", "ash"};
  return std::ranges::find(shells, fs::path(word.text).filename().string()) != shells.end();
}

// The script of "sh -c SCRIPT", whatever else the shell is told.
const Word* script_of(const std::vector<Word>& words) {
  const auto shell = std::ranges::find_if(words, is_shell);
  if (shell == words.end()) return nullptr;
  bool is_next = false;
  bool is_value = false;  // of "-o"
  for (const auto& word : std::span(std::next(shell), words.end())) {
    if (is_next && !is_value) return &word;
    if (std::exchange(is_value, false)) continue;
    if (!word.text.starts_with('-')) return nullptr;
    is_value = word.text.ends_with('o') && !word.text.starts_with("--");
    is_next = is_next || (!word.text.starts_with("--") && word.text.find('c') != std::string::npos);
  }
  return nullptr;
}

// What the program of the unit is started with, behind a shell as well; one word that nobody knows where that
// is in a file that is run instead.
std::vector<Word> words_of_program(const std::string& unit, const std::string& command,
                                   const Variables& variables) {
  auto words = words_of_unit(command, variables);
  const auto* const script = script_of(words);
  if (script == nullptr && has_program_of(unit, words)) return words;
  const auto commands =
      script == nullptr ? std::vector<std::vector<Word>>() : commands_of_script(script->text, variables);
  const auto is_it = [&unit](const std::vector<Word>& each) { return has_program_of(unit, each); };
  const auto last = std::find_if(commands.rbegin(), commands.rend(), is_it);
  if (last != commands.rend()) return *last;
  const auto text = script != nullptr ? script->text : words.empty() ? command : words.front().text;
  return {{{}, "\"" + text + "\"", true}};
}

struct FoundOption {
  std::optional<Word> word = {};  ///< with the value alone
  std::string uncertain = {};     ///< what may have another one, behind it
};

std::string name_of_option(const std::string& word) {
  const auto dashes = std::min(word.find_first_not_of('-'), word.size());
  return dashes < 1 || dashes > 2 ? std::string() : word.substr(dashes);
}

FoundOption find_option(const std::vector<Word>& words, const std::vector<std::string>& names) {
  FoundOption found;
  bool is_value = false;
  for (std::size_t at = 0; at < words.size(); ++at) {
    const auto& [text, unknown, may_be_many] = words[at];
    if (may_be_many && !is_value) found.uncertain = unknown;
    const auto option = name_of_option(text);
    is_value = !option.empty() && option.find('=') == std::string::npos;
    for (const auto& name : names) {
      if (option.starts_with(name + "=")) found = {.word = Word{option.substr(name.size() + 1), unknown}};
      if (option == name && at + 1 < words.size()) found = {.word = words[at + 1]};
    }
  }
  return found;
}

[[noreturn]] void throw_unknown(const std::string& name, const Setting& command, const std::string& unknown) {
  throw Error(Kind::wrong_config, command.said_by + ": what " + name + " is cannot be told from ExecStart: " +
                                      unknown + " is known once it runs alone");
}

std::optional<UnitOption> option_of_unit(const std::string& unit, const std::vector<std::string>& names,
                                         const NodeFiles& files) {
  const auto commands = settings_of(files_of(unit, files), "ExecStart", files);
  if (commands.empty()) return std::nullopt;
  const auto& command = commands.back();
  const bool has_variables = command.text.find('$') != std::string::npos;
  auto words = words_of_program(unit, with_specifiers(command.text, unit),
                                has_variables ? values_of(environment_of(unit, files)) : Variables());
  const auto found = find_option(words, names);
  if (!found.uncertain.empty()) throw_unknown(names.front(), command, found.uncertain);
  if (!found.word) return std::nullopt;
  if (!found.word->is_known()) throw_unknown(names.front(), command, found.word->unknown);
  return UnitOption{found.word->text, command.said_by};
}

// Of the units that count, where all that say it say the same.
template <typename Ask>
std::optional<UnitOption> ask_each(const std::vector<std::string>& units, const std::string& name,
                                   const NodeFiles& files, const Ask& ask) {
  std::optional<UnitOption> found;
  for (const auto& unit : units_that_count(units, files)) {
    const auto said = ask(unit);
    if (said && found && said->value != found->value) {
      throw Error(Kind::wrong_config, name + " is " + found->value + " in " + found->said_by + ", and " +
                                          said->value + " in " + said->said_by +
                                          ": which of the two units is meant is not known");
    }
    if (said && !found) found = said;
  }
  return found;
}

}  // namespace

bool is_in_use(const std::string& unit, const NodeFiles& files) {
  return std::ranges::any_of(marks, [&](const char* before) { return files.is_there(before + unit); });
}

std::optional<UnitOption> option_of(const std::vector<std::string>& units,
                                    const std::vector<std::string>& names, const NodeFiles& files) {
  return ask_each(units, names.front(), files,
                  [&](const std::string& unit) { return option_of_unit(unit, names, files); });
}

std::optional<UnitOption> variable_of(const std::vector<std::string>& units, std::string_view name,
                                      const NodeFiles& files) {
  const std::string variable(name);
  return ask_each(units, variable, files, [&](const std::string& unit) -> std::optional<UnitOption> {
    const auto environment = environment_of(unit, files);
    const auto found = environment.find(variable);
    if (found == environment.end() || found->second.value.empty()) return std::nullopt;
    return UnitOption{found->second.value, found->second.said_by};
  });
}

}  // namespace ipmasq::runtime
