#include "plugin/commands/completion.hpp"

#include <algorithm>
#include <array>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace ipmasq::plugin {

namespace {

struct Command {
  std::string name;
  std::string operands;  ///< "SRC DST"; "a|b|c" where only these are
  std::string text;
};

struct Option {
  std::string letter;  ///< "o", of those that have one
  std::string name;
  std::string value;  ///< what it takes; empty for nothing
  std::string text;
  std::vector<std::string> commands = {};  ///< that have it; none for all

  bool is_of(const std::string& command) const {
    return commands.empty() || std::ranges::find(commands, command) != commands.end();
  }
};

struct Table {
  std::vector<Command> commands;
  std::vector<Option> options;
};

// "NAME OPERANDS  text", which begins where there are two spaces.
Command split(const std::string& line) {
  const auto gap = std::min(line.find("  "), line.size());
  const auto text = std::min(line.find_first_not_of(' ', gap), line.size());
  const auto space = std::min(line.find(' '), gap);
  return {line.substr(0, space), space < gap ? line.substr(space + 1, gap - space - 1) : "",
          line.substr(text)};
}

// Takes "a, b: " off the text where these are commands.
std::vector<std::string> take_commands(std::string& text, const std::vector<Command>& known) {
  const auto colon = text.find(": ");
  if (colon == std::string::npos) return {};
  std::vector<std::string> names;
  std::istringstream words(text.substr(0, colon));
  for (std::string word; words >> word;) {
    if (word.ends_with(',')) word.pop_back();
    if (std::ranges::find(known, word, &Command::name) == known.end()) return {};
    names.push_back(word);
  }
  text.erase(0, colon + 2);
  return names;
}

Table read(std::string_view help) {
  constexpr std::string_view command = "  ip-masq ";
  constexpr std::string_view option = "  --";
  constexpr std::string_view lettered = "  -";
  Table table;
  std::istringstream lines{std::string(help)};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(command) && line[command.size()] != '-') {
      table.commands.push_back(split(line.substr(command.size())));
    } else if (line.starts_with(lettered)) {
      const auto begin = line.find("--") + 2;
      auto [name, value, text] = split(line.substr(begin));
      auto commands = take_commands(text, table.commands);
      const auto letter = line.starts_with(option) ? "" : line.substr(lettered.size(), 1);
      table.options.push_back({letter, name, value, text, std::move(commands)});
    }
  }
  return table;
}

bool is_folder(const std::string& value) {
  return value == "DIR";
}

bool is_file(const std::string& value) {
  return value == "FILE";
}

// "a b c" of "a|b|c"; empty where anything may be.
std::string choices(std::string value) {
  if (value.find('|') == std::string::npos) return "";
  std::ranges::replace(value, '|', ' ');
  return value;
}

std::string flags(const Option& option, const char* between) {
  return (option.letter.empty() ? "" : "-" + option.letter + between) + "--" + option.name;
}

// Within single quotes of a shell.
std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char each : text) {
    if (each == '\'') {
      result += R"('\'')";
    } else {
      result += each;
    }
  }
  return result + "'";
}

// What its own reader of descriptions would take for something else.
std::string escaped(const std::string& text, std::string_view special) {
  std::string result;
  for (const char each : text) {
    if (special.find(each) != std::string_view::npos) result += '\\';
    result += each;
  }
  return result;
}

// ---- bash

std::string bash_words(const std::string& value) {
  if (is_folder(value)) return "-d";
  if (is_file(value)) return "-f";
  const auto words = choices(value);
  return words.empty() ? "" : "-W " + quoted(words);
}

void print_bash(const Table& table, std::ostream& output) {
  const auto names = [&] {
    std::string all;
    for (const auto& command : table.commands) all += command.name + " ";
    return all;
  }();
  output << R"(_ip_masq() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command= word offered=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    case $word in
)";
  for (const auto& command : table.commands)
    output << "      " << command.name << ") command=$word; break ;;\n";
  output << "    esac\n  done\n  case $previous in\n";
  for (const auto& option : table.options) {
    if (option.value.empty()) continue;
    const auto words = bash_words(option.value);
    output << "    " << flags(option, " | ") << ") "
           << (words.empty() ? "COMPREPLY=()"
                             : "mapfile -t COMPREPLY < <(compgen " + words + " -- \"$current\")")
           << "; return ;;\n";
  }
  output << "  esac\n  case $command in\n    '') offered=(" << names << "--help --version) ;;\n";
  for (const auto& command : table.commands) {
    const auto operands = choices(command.operands);
    output << "    " << command.name << ") offered=(" << (operands.empty() ? "" : operands + " ");
    for (const auto& option : table.options) {
      if (option.is_of(command.name)) output << flags(option, " ") << ' ';
    }
    output << "--help) ;;\n";
  }
  output << R"(  esac
  mapfile -t COMPREPLY < <(compgen -W "${offered[*]}" -- "$current")
}
complete -F _ip_masq ip-masq
)";
}

// ---- zsh

std::string zsh_action(const std::string& value) {
  if (is_folder(value)) return "_files -/";
  if (is_file(value)) return "_files";
  const auto words = choices(value);
  return words.empty() ? " " : "(" + words + ")";
}

void print_zsh(const Table& table, std::ostream& output) {
  constexpr std::string_view special = "[]:\\";
  output << "#compdef ip-masq\n_ip_masq() {\n  local -a commands=(\n";
  for (const auto& command : table.commands)
    output << "    " << quoted(command.name + ":" + escaped(command.text, special)) << '\n';
  output << R"(  )
  local state line
  _arguments -C '(-)--help' '(-)--version' '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $line[1] in
)";
  for (const auto& command : table.commands) {
    output << "        " << command.name << ") _arguments --help";
    for (const auto& option : table.options) {
      if (!option.is_of(command.name)) continue;
      // One form or the other.
      const auto forms = option.letter.empty() ? "--" + option.name
                                               : "'(" + flags(option, " ") + ")'{" + flags(option, ",") + "}";
      auto rest = "[" + escaped(option.text, special) + "]";
      if (!option.value.empty())
        rest += ":" + escaped(option.value, special) + ":" + zsh_action(option.value);
      output << " \\\n          " << forms << quoted(rest);
    }
    std::istringstream operands(command.operands);
    for (std::string operand; operands >> operand;)
      output << " \\\n          " << quoted(":" + operand + ":" + zsh_action(operand));
    output << " ;;\n";
  }
  output << "      esac ;;\n  esac\n}\n_ip_masq \"$@\"\n";
}

// ---- fish

// After -x, which offers no files.
std::string fish_words(const std::string& value) {
  if (is_folder(value)) return " -x -a '(__fish_complete_directories)'";
  if (is_file(value)) return " -r -F";
  const auto words = choices(value);
  return words.empty() ? " -x" : " -x -a " + quoted(words);
}

void print_fish(const Table& table, std::ostream& output) {
  constexpr std::string_view special = "\\";
  output << "complete -c ip-masq -f\n"
            "complete -c ip-masq -n __fish_use_subcommand -l help\n"
            "complete -c ip-masq -n __fish_use_subcommand -l version\n";
  for (const auto& command : table.commands) {
    output << "complete -c ip-masq -n __fish_use_subcommand -a " << command.name << " -d "
           << quoted(escaped(command.text, special)) << '\n';
    const auto operands = choices(command.operands);
    if (!operands.empty())
      output << "complete -c ip-masq -n '__fish_seen_subcommand_from " << command.name << "' -a "
             << quoted(operands) << '\n';
  }
  for (const auto& option : table.options) {
    output << "complete -c ip-masq -n '__fish_seen_subcommand_from";
    for (const auto& command : table.commands) {
      if (option.is_of(command.name)) output << ' ' << command.name;
    }
    output << "'" << (option.letter.empty() ? "" : " -s " + option.letter) << " -l " << option.name
           << (option.value.empty() ? "" : fish_words(option.value)) << " -d "
           << quoted(escaped(option.text, special)) << '\n';
  }
}

}  // namespace

void print_completion(std::string_view shell, std::string_view help, std::ostream& output) {
  struct Shell {
    std::string_view name;
    void (*print)(const Table&, std::ostream&);
  };
  constexpr std::array<Shell, 3> shells{{{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}}};
  const auto* const found = std::ranges::find(shells, shell, &Shell::name);
  if (found == shells.end())
    throw std::invalid_argument("there is no completion for \"" + std::string(shell) +
                                "\": expected bash, zsh or fish");
  found->print(read(help), output);
}

}  // namespace ipmasq::plugin
