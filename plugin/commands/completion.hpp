// What a shell offers after "ip-masq ".
#pragma once

#include <iosfwd>
#include <string_view>

namespace ipmasq::plugin {

/// A script that completes commands, their options and what these take, for "bash", "zsh" or "fish". `help`
/// is what
/// --help prints, the one table of them: "  ip-masq NAME OPERANDS  text" a command, "  -o, --name VALUE  a,
/// b: text" an option of the commands a and b, or of all where the text names none. Throws
/// std::invalid_argument for another shell.
void print_completion(std::string_view shell, std::string_view help, std::ostream& output);

}  // namespace ipmasq::plugin
