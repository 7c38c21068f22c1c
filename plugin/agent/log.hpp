// The agent's log.
#pragma once

#include <cstdint>
#include <string>

namespace ipmasq::plugin {

/// Text as one line of a log or a page: control characters and what is not UTF-8 as "\x1b", cut where it is
/// long.
std::string as_line(const std::string& text);

/// Writes whole lines, and waits for nobody who reads them.
class Log {
 public:
  /// `descriptor`: stays the caller's.
  explicit Log(int descriptor) : descriptor_(descriptor) {}

  /// "ip-masq agent: TEXT", as one line. Where nobody takes it now it is lost; the next one that is taken
  /// says how many were.
  void say(const std::string& text);

 private:
  bool write_line(const std::string& text) const;

  int descriptor_;
  std::uint64_t lost_ = 0;
};

}  // namespace ipmasq::plugin
