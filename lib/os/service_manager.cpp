#include "os/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "os/file.hpp"

namespace ipmasq::os {

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

}  // namespace ipmasq::os
