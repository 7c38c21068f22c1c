// What --help says, as a table: the one place where commands and their options are named.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace ipmasq::plugin {

struct ToldCommand {
  std::string name;
  std::string operands;  ///< "SRC DST"; "a|b|c" where only these are
  std::string text;
};

struct ToldOption {
  std::string letter;  ///< "o", of those that have one
  std::string name;
  std::string value;  ///< what it takes; empty for nothing
  std::string text;
  std::vector<std::string> commands = {};  ///< that have it; none for all

  bool is_of(const std::string& command) const {
    return commands.empty() || std::ranges::find(commands, command) != commands.end();
  }
};

struct HelpTable {
  std::vector<ToldCommand> commands;
  std::vector<ToldOption> options;
};

/// "  ip-masq NAME OPERANDS  text" is a command, "  -o, --name VALUE  a, b: text" an option of the commands a
/// and b, or of all where the text names none.
HelpTable read_help(std::string_view help);

}  // namespace ipmasq::plugin
