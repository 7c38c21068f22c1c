#include "conflist/located.hpp"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "cni/json.hpp"
#include "conflist/utf8.hpp"

namespace ipmasq::conflist {

namespace {

using cni::Json;

constexpr std::string_view white_space = " \t\r\n";

// Tells how far the parser has read: it takes byte after byte, and none beyond a bracket, a string or a word.
class Reader {
 public:
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  using iterator_category = std::input_iterator_tag;

  Reader(std::string_view text, std::size_t* position) : text_(text), position_(position) {}
  static Reader end_of(std::string_view text) { return {text, nullptr}; }

  reference operator*() const { return text_[*position_]; }
  Reader& operator++() {
    ++*position_;
    return *this;
  }
  Reader operator++(int) {  // NOLINT(cert-dcl21-cpp): as an iterator of the standard library has it
    auto before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Reader& other) const { return place() == other.place(); }

 private:
  std::size_t place() const { return position_ != nullptr ? *position_ : text_.size(); }

  std::string_view text_;
  std::size_t* position_;
};

class Locator : public nlohmann::json_sax<Json> {
 public:
  explicit Locator(std::string_view text) : text_(text) {}

  Located run() {
    Json::sax_parse(Reader(text_, &position_), Reader::end_of(text_), this);
    return std::move(root_);
  }

  bool null() override { return scalar(position_); }
  bool boolean(bool /*value*/) override { return scalar(position_); }
  bool string(string_t& /*value*/) override { return scalar(position_); }
  bool number_integer(number_integer_t /*value*/) override { return number(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return number(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return number(); }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*elements*/) override { return open(); }
  bool start_array(std::size_t /*elements*/) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    key_begin_ = next_begin();
    key_ = std::move(value);
    is_member_ = true;
    last_end_ = position_;
    return true;
  }
  bool parse_error(std::size_t /*byte*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  // What begins after the last token: between them are white space, a comma or a colon.
  std::size_t next_begin() const {
    constexpr std::string_view between = " \t\r\n,:";
    return text_.find_first_not_of(between, last_end_);
  }

  // Its end is not where the parser is: that one has looked at the byte behind it.
  bool number() {
    const auto end = text_.find_first_not_of("0123456789+-.eE", next_begin());
    return scalar(std::min(end, text_.size()));
  }

  bool scalar(std::size_t end) {
    place().end = end;
    last_end_ = end;
    return true;
  }

  bool open() {
    open_.push_back(&place());
    last_end_ = position_;
    return true;
  }

  bool close() {
    open_.back()->end = position_;
    open_.pop_back();
    last_end_ = position_;
    return true;
  }

  // Stands until something is added beside it, when what it holds is complete.
  Located& place() {
    const auto begin = next_begin();
    Located made{.begin = begin,
                 .key_begin = std::exchange(is_member_, false) ? key_begin_ : begin,
                 .key = std::exchange(key_, {})};
    if (open_.empty()) return root_ = std::move(made);
    return open_.back()->held.emplace_back(std::move(made));
  }

  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t last_end_ = 0;
  std::size_t key_begin_ = 0;
  std::string key_;
  bool is_member_ = false;
  Located root_;
  std::vector<Located*> open_;
};

// The white space before a place.
std::string_view gap_before(std::string_view text, std::size_t place) {
  const auto before = text.find_last_not_of(white_space, place - 1);
  return text.substr(before + 1, place - before - 1);
}

}  // namespace

const Located* Located::member(std::string_view name) const {
  const auto found =
      std::find_if(held.rbegin(), held.rend(), [name](const Located& value) { return value.key == name; });
  return found == held.rend() ? nullptr : std::to_address(found);
}

Located locate(std::string_view text) {
  const auto readable = with_utf8_alone(text);
  return Locator(readable).run();
}

std::string with_last(const std::string& text, const Located& container, std::string_view added) {
  auto changed = text;
  if (container.held.empty()) return changed.insert(container.begin + 1, added);
  const auto& last = container.held.back();
  return changed.insert(last.end, "," + std::string(gap_before(text, last.key_begin)) + std::string(added));
}

std::string without(const std::string& text, const Located& container, std::size_t index) {
  const auto& held = container.held;
  const auto& gone = held[index];
  auto begin = gone.key_begin;
  auto end = gone.end;
  if (index > 0) {
    begin = held[index - 1].end;
  } else if (held.size() > 1) {
    end = held[1].key_begin;
  }
  return std::string(text).erase(begin, end - begin);
}

std::string with_value(const std::string& text, const Located& place, std::string_view value) {
  return std::string(text).replace(place.begin, place.end - place.begin, value);
}

}  // namespace ipmasq::conflist
