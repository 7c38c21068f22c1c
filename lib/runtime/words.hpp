// The words of a command, as systemd (systemd.syntax(7), systemd.service(5), "COMMAND LINES") and a shell
// (POSIX, "Shell Command Language") make them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ipmasq::runtime {

using Variables = std::map<std::string, std::string>;

struct Word {
  std::string text;          ///< as far as it is known
  std::string unknown = {};  ///< what of it nobody can tell from here: "$(cat /etc/options)"
  bool may_be_many = false;  ///< the unknown is all of it, and may be more words than one, or none

  bool is_known() const { return unknown.empty(); }
};

/// Quotes and escapes taken away; no variable is looked up.
std::vector<std::string> unquoted_words(std::string_view text);

/// Of what ExecStart says: with its variables, and without the marks before the program. This and the next
/// throw Error{wrong_config} where that makes more than 1 MiB.
std::vector<Word> words_of_unit(std::string_view command, const Variables& variables);

/// Of each simple command of a shell's script. A variable that neither the script nor `variables` sets is
/// unknown.
std::vector<std::vector<Word>> commands_of_script(std::string_view script, Variables variables);

}  // namespace ipmasq::runtime
