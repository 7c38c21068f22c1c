#include "plugin/commands/help_table.hpp"

#include <sstream>

namespace ipmasq::plugin {

namespace {

// "NAME OPERANDS  text", which begins where there are two spaces.
ToldCommand split(const std::string& line) {
  const auto gap = std::min(line.find("  "), line.size());
  const auto text = std::min(line.find_first_not_of(' ', gap), line.size());
  const auto space = std::min(line.find(' '), gap);
  return {line.substr(0, space), space < gap ? line.substr(space + 1, gap - space - 1) : "",
          line.substr(text)};
}

// Takes "a, b: " off the text where these are commands.
std::vector<std::string> take_commands(std::string& text, const std::vector<ToldCommand>& known) {
  const auto colon = text.find(": ");
  if (colon == std::string::npos) return {};
  std::vector<std::string> names;
  std::istringstream words(text.substr(0, colon));
  for (std::string word; words >> word;) {
    if (word.ends_with(',')) word.pop_back();
    if (std::ranges::find(known, word, &ToldCommand::name) == known.end()) return {};
    names.push_back(word);
  }
  text.erase(0, colon + 2);
  return names;
}

}  // namespace

HelpTable read_help(std::string_view help) {
  constexpr std::string_view command = "  ip-masq ";
  constexpr std::string_view option = "  --";
  constexpr std::string_view lettered = "  -";
  HelpTable table;
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

}  // namespace ipmasq::plugin
