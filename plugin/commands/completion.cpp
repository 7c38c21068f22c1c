#include "plugin/commands/completion.hpp"

#include <algorithm>
#include <array>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "plugin/commands/help_table.hpp"

namespace ipmasq::plugin {

namespace {

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

std::string flags(const ToldOption& option, const char* between) {
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

void print_bash(const HelpTable& table, std::ostream& output) {
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

void print_zsh(const HelpTable& table, std::ostream& output) {
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

void print_fish(const HelpTable& table, std::ostream& output) {
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
    void (*print)(const HelpTable&, std::ostream&);
  };
  constexpr std::array<Shell, 3> shells{{{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}}};
  const auto* const found = std::ranges::find(shells, shell, &Shell::name);
  if (found == shells.end())
    throw std::invalid_argument("there is no completion for \"" + std::string(shell) +
                                "\": expected bash, zsh or fish");
  found->print(read_help(help), output);
}

}  // namespace ipmasq::plugin
