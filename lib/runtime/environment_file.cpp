#include "runtime/environment_file.hpp"

#include <algorithm>

namespace ipmasq::runtime {

namespace {

constexpr std::string_view blanks = " \t\r";

// Goes through the text a value at a time.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool is_at_end() const { return at_ >= text_.size(); }

  // Up to '=', which is taken; empty where the line has none, or is a comment.
  std::string name() {
    skip(" \t\r\n");
    const auto end = text_.find_first_of("=\n", at_);
    const bool is_comment = !is_at_end() && (text_[at_] == '#' || text_[at_] == ';');
    if (is_comment || end == std::string_view::npos || text_[end] == '\n') {
      skip_line();
      return {};
    }
    const auto name = text_.substr(at_, end - at_);
    at_ = end + 1;
    return std::string(name.substr(0, name.find_last_not_of(blanks) + 1));
  }

  std::string value() {
    std::string value;
    std::size_t kept = 0;  // blanks at its end are not, unless they are quoted
    skip(blanks);
    while (!is_at_end() && text_[at_] != '\n') {
      const char letter = text_[at_++];
      if (letter == '"' || letter == '\'') {
        quoted(letter, value);
      } else if (letter == '\\' && !is_at_end()) {
        if (text_[at_] != '\n') value += text_[at_];
        ++at_;
      } else {
        value += letter;
        if (blanks.find(letter) != std::string_view::npos) continue;
      }
      kept = value.size();
    }
    value.resize(kept);
    return value;
  }

 private:
  void skip(std::string_view letters) { at_ = std::min(text_.find_first_not_of(letters, at_), text_.size()); }
  void skip_line() { at_ = std::min(text_.find('\n', at_), text_.size()); }

  void quoted(char quote, std::string& value) {
    constexpr std::string_view escaped = "\"\\`$";
    while (!is_at_end() && text_[at_] != quote) {
      const char letter = text_[at_++];
      if (quote == '"' && letter == '\\' && !is_at_end()) {
        if (text_[at_] != '\n' && escaped.find(text_[at_]) == std::string_view::npos) value += letter;
        if (text_[at_] != '\n') value += text_[at_];
        ++at_;
      } else {
        value += letter;
      }
    }
    ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::map<std::string, std::string> parse_environment(std::string_view text) {
  constexpr std::string_view shells = "export ";
  std::map<std::string, std::string> variables;
  Reader reader(text);
  while (!reader.is_at_end()) {
    auto name = reader.name();
    if (name.empty()) continue;
    if (name.starts_with(shells)) name.erase(0, shells.size());
    variables[name] = reader.value();
  }
  return variables;
}

}  // namespace ipmasq::runtime
