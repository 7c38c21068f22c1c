// Which key of which file lists a destination.
#pragma once

#include <memory>
#include <string>
#include <utility>

namespace ipmasq::config {

/// "nonMasqueradeCIDRs in FILE", "nonMasqueradeCIDRs (default)": a text that all items of a list share, of
/// which there may be 10,000, and all that is made of them.
class Origin {
 public:
  Origin(std::string text) : text_(std::make_shared<const std::string>(std::move(text))) {}  // NOLINT: a text
  Origin(const char* text) : Origin(std::string(text)) {}  // NOLINT: the same

  const std::string& text() const { return *text_; }

  bool operator==(const Origin& other) const { return text_ == other.text_ || *text_ == *other.text_; }
  auto operator<=>(const Origin& other) const { return *text_ <=> *other.text_; }

 private:
  std::shared_ptr<const std::string> text_;
};

}  // namespace ipmasq::config
