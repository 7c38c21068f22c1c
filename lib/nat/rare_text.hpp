// A text that most rules of a long list lack.
#pragma once

#include <compare>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace ipmasq::nat {

/// Half the size of a string: 10,000 rules are held more than once while they change. Copies share it.
class RareText {
 public:
  RareText() = default;
  RareText(std::string text)  // NOLINT: a text
      : text_(text.empty() ? nullptr : std::make_shared<const std::string>(std::move(text))) {}
  RareText(std::string_view text) : RareText(std::string(text)) {}  // NOLINT: the same
  RareText(const char* text) : RareText(std::string(text)) {}       // NOLINT: the same

  bool empty() const { return text_ == nullptr; }
  const std::string& text() const {
    static const std::string none;
    return text_ ? *text_ : none;
  }
  operator const std::string&() const { return text(); }  // NOLINT: a text

  bool operator==(const RareText& other) const { return text_ == other.text_ || text() == other.text(); }
  auto operator<=>(const RareText& other) const { return text() <=> other.text(); }

 private:
  std::shared_ptr<const std::string> text_;
};

}  // namespace ipmasq::nat
