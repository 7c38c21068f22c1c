#include "os/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "os/file.hpp"

namespace ipmasq::os {

namespace {

// A decimal number of a variable of the environment.
std::optional<std::int64_t> number_in(const char* variable) {
  const char* const text = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): there is one thread
  if (text == nullptr) return std::nullopt;
  const char* const end = text + std::strlen(text);
  std::int64_t number = 0;
  const auto [last, problem] = std::from_chars(text, end, number);
  return problem == std::errc() && last == end ? std::optional(number) : std::nullopt;
}

}  // namespace

void tell_service_manager(const std::string& state) {
  const char* const name =
      std::getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe): there is one thread
  if (name == nullptr || std::strlen(name) >= sizeof(sockaddr_un::sun_path)) return;
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(static_cast<char*>(address.sun_path), name, std::strlen(name));
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(name));
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): how sockaddr is meant
  ::sendto(socket.number(), state.data(), state.size(), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&address), size);
}

std::optional<std::chrono::microseconds> watchdog_interval() {
  const auto limit = number_in("WATCHDOG_USEC");
  if (!limit || *limit <= 0 || number_in("WATCHDOG_PID").value_or(::getpid()) != ::getpid())
    return std::nullopt;
  return std::chrono::microseconds(*limit / 2);
}

}  // namespace ipmasq::os
