#include "plugin/agent/log.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <string_view>

#include "nat/foreign_rule.hpp"

namespace ipmasq::plugin {

namespace {

constexpr std::string_view start = "ip-masq agent: ";
constexpr std::string_view cut = "...";

// With `start`, the rest of a line stays below what a pipe that has any room takes without waiting. pipe(7).
constexpr std::size_t longest_line = 3500;
static_assert(start.size() + longest_line + cut.size() < PIPE_BUF);

bool continues_character(char byte) {
  return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U;
}

}  // namespace

std::string as_line(const std::string& text) {
  auto line = nat::printable(text);
  if (line.size() <= longest_line) return line;
  auto end = longest_line;
  while (continues_character(line[end])) --end;
  return line.substr(0, end).append(cut);
}

void Log::say(const std::string& text) {
  if (lost_ > 0 && write_line("lost " + std::to_string(lost_) + " lines of this log: nobody read it")) {
    lost_ = 0;
  }
  if (lost_ > 0 || !write_line(text)) ++lost_;
}

bool Log::write_line(const std::string& text) const {
  pollfd waited{descriptor_, POLLOUT, 0};
  if (::poll(&waited, 1, 0) != 1 || (waited.revents & POLLOUT) == 0) return false;
  const auto line = std::string(start) + as_line(text) + "\n";
  ssize_t written = 0;
  do {
    written = ::write(descriptor_, line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  return written == static_cast<ssize_t>(line.size());
}

}  // namespace ipmasq::plugin
