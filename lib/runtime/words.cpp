#include "runtime/words.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>

#include "error/error.hpp"

namespace ipmasq::runtime {

namespace {

constexpr std::string_view blanks = " \t\r\n";

constexpr std::size_t most_letters = std::size_t{1} << 20U;

// Of what stands for variables: few of them can make much.
class Budget {
 public:
  const std::string& take(const std::string& value) {
    taken_ += value.size();
    if (taken_ > most_letters)
      throw Error(Kind::wrong_config, "a command line that is longer than 1 MiB with its variables");
    return value;
  }

 private:
  std::size_t taken_ = 0;
};

bool is_blank(char letter) {
  return blanks.find(letter) != std::string_view::npos;
}

bool is_of_name(char letter) {
  return std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '_';
}

// The letter that a number of digits stands for.
std::optional<char> letter_of(std::string_view digits, std::size_t length, int base) {
  unsigned number = 0;
  const auto text = digits.substr(0, length);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (text.size() < length || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return static_cast<char>(number);
}

// What stands behind a backslash, as in C; `at` goes behind it. What is none stays, with the backslash.
std::string unescape(std::string_view text, std::size_t& at) {
  constexpr std::string_view names = R"(abfnrtvs\"')";
  constexpr std::string_view letters = "\a\b\f\n\r\t\v \\\"'";
  const auto rest = text.substr(at);
  if (const auto place = names.find(rest.front()); place != std::string_view::npos) {
    ++at;
    return {letters[place]};
  }
  if (rest.starts_with('x')) {
    if (const auto letter = letter_of(rest.substr(1), 2, 16)) {
      at += 3;
      return {*letter};
    }
  } else if (const auto letter = letter_of(rest, 3, 8)) {
    at += 3;
    return {*letter};
  }
  ++at;
  return {'\\', rest.front()};
}

// "${NAME}" looked up, "$$" as "$"; a name alone stays.
std::string with_variables(const std::string& word, const Variables& variables, Budget& budget) {
  std::string text;
  for (std::size_t at = 0; at < word.size(); ++at) {
    const auto rest = std::string_view(word).substr(at);
    const auto end = rest.find('}');
    if (rest.starts_with("$$")) {
      text += '$';
      ++at;
    } else if (rest.starts_with("${") && end != std::string_view::npos) {
      const auto found = variables.find(std::string(rest.substr(2, end - 2)));
      if (found != variables.end()) text += budget.take(found->second);
      at += end;
    } else {
      text += word[at];
    }
  }
  return text;
}

bool is_name_alone(const std::string& word) {
  return word.size() > 1 && word[0] == '$' && word[1] != '{' && word[1] != '$';
}

// ---- a shell's

class Script {
 public:
  Script(std::string_view text, Variables variables) : text_(text), variables_(std::move(variables)) {}

  std::vector<std::vector<Word>> run() {
    while (at_ < text_.size()) {
      const char letter = text_[at_];
      if (letter == '#' && !is_in_word_) {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (constexpr std::string_view ends = ";&|()\n"; ends.find(letter) != std::string_view::npos) {
        end_command();
        ++at_;
      } else if (is_blank(letter) || letter == '<' || letter == '>') {
        end_word();
        ++at_;
      } else {
        take();
      }
    }
    end_command();
    return std::move(commands_);
  }

 private:
  void take() {
    const bool was_in_word = std::exchange(is_in_word_, true);
    const char letter = text_[at_];
    if (letter == '\'') {
      const auto end = std::min(text_.find('\'', at_ + 1), text_.size());
      word_.text += text_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
    } else if (letter == '"') {
      ++at_;
      take_quoted();
    } else if (letter == '\\' && at_ + 1 < text_.size()) {
      if (text_[at_ + 1] != '\n') word_.text += text_[at_ + 1];
      at_ += 2;
    } else if (letter == '$' || letter == '`') {
      is_in_word_ = was_in_word;  // what it stands for may be nothing
      take_expansion(false);
    } else {
      word_.text += letter;
      ++at_;
    }
  }

  void take_quoted() {
    constexpr std::string_view escaped = "\"\\`$";
    while (at_ < text_.size() && text_[at_] != '"') {
      const char letter = text_[at_];
      if (letter == '\\' && at_ + 1 < text_.size()) {
        if (text_[at_ + 1] != '\n' && escaped.find(text_[at_ + 1]) == std::string_view::npos)
          word_.text += letter;
        if (text_[at_ + 1] != '\n') word_.text += text_[at_ + 1];
        at_ += 2;
      } else if (letter == '$' || letter == '`') {
        take_expansion(true);
      } else {
        word_.text += letter;
        ++at_;
      }
    }
    ++at_;
  }

  // The place behind the bracket that closes the one at `at`.
  std::size_t behind_bracket(std::size_t at, char open, char close) const {
    int depth = 0;
    for (; at < text_.size(); ++at) {
      if (text_[at] == open) ++depth;
      if (text_[at] == close && --depth == 0) return at + 1;
    }
    return text_.size();
  }

  void take_expansion(bool is_quoted) {
    const auto begin = at_;
    const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    std::string name;
    if (text_[at_] == '`') {
      at_ = std::min(text_.find('`', at_ + 1), text_.size() - 1) + 1;
    } else if (next == '(') {
      at_ = behind_bracket(at_ + 1, '(', ')');
    } else if (next == '{') {
      at_ = behind_bracket(at_ + 1, '{', '}');
      name = text_.substr(begin + 2, at_ - begin - 3);
    } else if (is_of_name(next)) {
      for (++at_; at_ < text_.size() && is_of_name(text_[at_]);) ++at_;
      name = text_.substr(begin + 1, at_ - begin - 1);
    } else if (next != '\0' && !is_blank(next) && next != '"') {
      at_ += 2;  // "$@", "$?"
    } else {
      word_.text += text_[at_++];
      is_in_word_ = true;
      return;
    }
    const auto found = variables_.find(name);
    if (found != variables_.end()) return put(std::string(budget_.take(found->second)), is_quoted);
    word_.may_be_many = !is_quoted && !is_in_word_;
    is_in_word_ = true;
    if (word_.unknown.empty()) word_.unknown = text_.substr(begin, at_ - begin);
  }

  // `value`: none of the variables themselves, which may change on the way.
  void put(const std::string& value, bool is_quoted) {
    if (is_quoted) {
      word_.text += value;
      return;
    }
    for (const char letter : value) {
      if (is_blank(letter)) {
        end_word();
      } else {
        word_.text += letter;
        is_in_word_ = true;
      }
    }
  }

  void end_word() {
    if (!std::exchange(is_in_word_, false)) return;
    auto word = std::exchange(word_, {});
    const auto equals = word.text.find('=');
    const bool is_assignment =
        words_.empty() && equals != std::string::npos && equals > 0 &&
        std::all_of(word.text.begin(), word.text.begin() + static_cast<std::ptrdiff_t>(equals), is_of_name);
    if (!is_assignment) return words_.push_back(std::move(word));
    const auto name = word.text.substr(0, equals);
    if (word.is_known()) {
      variables_[name] = word.text.substr(equals + 1);
    } else {
      variables_.erase(name);
    }
  }

  void end_command() {
    end_word();
    if (!words_.empty()) commands_.push_back(std::exchange(words_, {}));
  }

  std::string_view text_;
  Variables variables_;
  Budget budget_;
  std::size_t at_ = 0;
  Word word_;
  bool is_in_word_ = false;
  std::vector<Word> words_;
  std::vector<std::vector<Word>> commands_;
};

}  // namespace

std::vector<std::string> unquoted_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  char quote = '\0';
  bool is_in_word = false;
  for (std::size_t at = 0; at < text.size();) {
    const char letter = text[at++];
    if (letter == '\\' && at < text.size()) {
      word += unescape(text, at);
      is_in_word = true;
    } else if (quote != '\0' ? letter == quote : letter == '"' || letter == '\'') {
      quote = quote != '\0' ? '\0' : letter;
      is_in_word = true;
    } else if (quote == '\0' && is_blank(letter)) {
      if (std::exchange(is_in_word, false)) words.push_back(std::exchange(word, {}));
    } else {
      word += letter;
      is_in_word = true;
    }
  }
  if (is_in_word) words.push_back(word);
  return words;
}

std::vector<Word> words_of_unit(std::string_view command, const Variables& variables) {
  constexpr std::string_view marks = "@-:+!|";
  std::vector<Word> words;
  Budget budget;
  bool are_looked_up = true;
  for (auto& word : unquoted_words(command)) {
    if (words.empty()) {
      const auto begin = std::min(word.find_first_not_of(marks), word.size());
      are_looked_up = word.substr(0, begin).find(':') == std::string::npos;
      words.push_back({word.substr(begin)});
    } else if (!are_looked_up) {
      words.push_back({std::move(word)});
    } else if (is_name_alone(word)) {
      const auto found = variables.find(word.substr(1));
      if (found == variables.end()) continue;
      for (auto& each : unquoted_words(budget.take(found->second))) words.push_back({std::move(each)});
    } else {
      words.push_back({with_variables(word, variables, budget)});
    }
  }
  return words;
}

std::vector<std::vector<Word>> commands_of_script(std::string_view script, Variables variables) {
  return Script(script, std::move(variables)).run();
}

}  // namespace ipmasq::runtime
