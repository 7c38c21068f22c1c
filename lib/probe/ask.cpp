#include "probe/ask.hpp"

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <system_error>

#include "error/error.hpp"
#include "os/file.hpp"

namespace ipmasq::probe {

namespace {

using Clock = std::chrono::steady_clock;
using net::Family;

// A sockaddr of either family.
class SocketAddress {
 public:
  SocketAddress(const net::Address& address, std::uint16_t port) : family_(address.family) {
    if (family_ == Family::ipv4) {
      ipv4_.sin_family = AF_INET;
      ipv4_.sin_port = htons(port);
      std::memcpy(&ipv4_.sin_addr, address.bytes.data(), sizeof ipv4_.sin_addr);
    } else {
      ipv6_.sin6_family = AF_INET6;
      ipv6_.sin6_port = htons(port);
      std::memcpy(&ipv6_.sin6_addr, address.bytes.data(), sizeof ipv6_.sin6_addr);
    }
  }

  // NOLINTBEGIN(cppcoreguidelines-pro-type-reinterpret-cast): how sockaddr is meant
  const sockaddr* generic() const {
    return family_ == Family::ipv4 ? reinterpret_cast<const sockaddr*>(&ipv4_)
                                   : reinterpret_cast<const sockaddr*>(&ipv6_);
  }
  sockaddr* generic() {
    return family_ == Family::ipv4 ? reinterpret_cast<sockaddr*>(&ipv4_)
                                   : reinterpret_cast<sockaddr*>(&ipv6_);
  }
  // NOLINTEND(cppcoreguidelines-pro-type-reinterpret-cast)
  socklen_t size() const { return family_ == Family::ipv4 ? sizeof ipv4_ : sizeof ipv6_; }
  std::uint16_t port() const { return ntohs(family_ == Family::ipv4 ? ipv4_.sin_port : ipv6_.sin6_port); }

 private:
  Family family_;
  sockaddr_in ipv4_{};
  sockaddr_in6 ipv6_{};
};

os::FileDescriptor open_socket(const std::optional<net::Address>& source, Family family, int type,
                               int protocol) {
  os::FileDescriptor socket(
      ::socket(family == Family::ipv4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!socket.is_open()) throw_errno("cannot open a socket to ask from");
  if (!source) return socket;
  const SocketAddress from(*source, 0);
  if (::bind(socket.number(), from.generic(), from.size()) != 0)
    throw_errno("cannot ask from " + net::to_text(*source));
  return socket;
}

// Whether the socket became ready for `events` before `deadline`.
bool wait(const os::FileDescriptor& socket, short events, Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd waited{socket.number(), events, 0};
  return ::poll(&waited, 1, static_cast<int>(std::max<long>(left, 0))) > 0;
}

Asked failed(int number) {
  if (number == ECONNREFUSED) return {Answer::refused};
  if (number == ETIMEDOUT) return {Answer::silent};
  return {Answer::unreachable, std::generic_category().message(number)};
}

// Has the kernel keep the errors that others send.
void keep_errors(const os::FileDescriptor& socket, Family family) {
  const int on = 1;
  ::setsockopt(socket.number(), family == Family::ipv4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6},
               family == Family::ipv4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof on);
}

// Who sent the error by ICMP that the kernel has kept for a socket; nullopt where none did. ip(7)
std::optional<net::Address> sender_of_error(const os::FileDescriptor& socket) {
  std::array<char, 256> packet{};
  alignas(cmsghdr) std::array<char, 512> control{};
  iovec place{packet.data(), packet.size()};
  msghdr message{};
  message.msg_iov = &place;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(socket.number(), &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return std::nullopt;
  for (auto* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
    sock_extended_err error{};
    if (each->cmsg_len < CMSG_LEN(sizeof error + sizeof(sockaddr_in))) continue;
    std::memcpy(&error, CMSG_DATA(each), sizeof error);
    const auto* const sender = CMSG_DATA(each) + sizeof error;
    net::Address address;
    if (error.ee_origin == SO_EE_ORIGIN_ICMP) {
      std::memcpy(address.bytes.data(), sender + offsetof(sockaddr_in, sin_addr), sizeof(in_addr));
      return address;
    }
    const bool is_whole = each->cmsg_len >= CMSG_LEN(sizeof error + sizeof(sockaddr_in6));
    if (error.ee_origin != SO_EE_ORIGIN_ICMP6 || !is_whole) continue;
    address.family = Family::ipv6;
    std::memcpy(address.bytes.data(), sender + offsetof(sockaddr_in6, sin6_addr), sizeof(in6_addr));
    return address;
  }
  return std::nullopt;
}

// Where the error came by ICMP: a firewall of the host itself refuses, or one on the way.
Asked failed(int number, const os::FileDescriptor& socket, const net::Address& host) {
  const auto sender = sender_of_error(socket);
  if (!sender) return failed(number);
  if (*sender == host) return {Answer::refused, "by ICMP: a firewall of its own"};
  const auto said = number == ECONNREFUSED ? "refused by ICMP" : failed(number).reason;
  return {Answer::unreachable, said + ", says " + net::to_text(*sender)};
}

bool is_no_way(int number) {
  return number == EHOSTUNREACH || number == ENETUNREACH || number == ECONNREFUSED || number == EACCES ||
         number == ETIMEDOUT || number == EPERM;
}

std::uint16_t internet_checksum(const icmphdr& header) {
  std::array<std::uint16_t, sizeof(icmphdr) / 2> words{};
  std::memcpy(words.data(), &header, sizeof header);
  std::uint32_t sum = 0;
  for (const auto word : words) sum += word;
  sum = (sum >> 16) + (sum & 0xffff);
  return static_cast<std::uint16_t>(~(sum + (sum >> 16)));
}

bool send_echo(const os::FileDescriptor& socket, const net::Address& host, std::uint16_t identifier,
               std::uint16_t sequence) {
  const SocketAddress towards(host, 0);
  icmphdr echo{};  // icmp6_hdr has the same layout
  echo.type = host.family == Family::ipv4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
  echo.un.echo.id = htons(identifier);
  echo.un.echo.sequence = htons(sequence);
  if (host.family == Family::ipv4) echo.checksum = internet_checksum(echo);
  return ::sendto(socket.number(), &echo, sizeof echo, 0, towards.generic(), towards.size()) >= 0;
}

// Whether what came is an answer to our echo. A raw IPv4 socket hands the IP header over as well.
bool is_our_answer(const std::array<char, 2048>& packet, std::size_t size, Family family,
                   std::uint16_t identifier) {
  std::size_t start = 0;
  if (family == Family::ipv4) start = static_cast<std::size_t>(packet[0] & 0xf) * 4;
  icmphdr answer{};
  if (start + sizeof answer > size) return false;
  std::memcpy(&answer, packet.data() + start, sizeof answer);
  const auto reply = family == Family::ipv4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
  return answer.type == reply && ntohs(answer.un.echo.id) == identifier;
}

}  // namespace

Asked echo(const std::optional<net::Address>& source, const net::Address& host,
           std::chrono::milliseconds patience) {
  const auto family = host.family;
  const auto socket =
      open_socket(source, family, SOCK_RAW, family == Family::ipv4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
  keep_errors(socket, family);
  const SocketAddress towards(host, 0);
  // Only from there: answers, and errors that a router sends.
  if (::connect(socket.number(), towards.generic(), towards.size()) != 0) {
    if (is_no_way(errno)) return failed(errno);
    throw_errno("cannot ask " + net::to_text(host));
  }
  static std::atomic<std::uint16_t> asked = 0;
  const auto identifier = static_cast<std::uint16_t>(::getpid() + asked++);
  const auto deadline = Clock::now() + patience;
  for (std::uint16_t sequence = 1; Clock::now() < deadline; ++sequence) {
    if (!send_echo(socket, host, identifier, sequence)) {
      const int number = errno;
      if (!is_no_way(number)) throw_errno("cannot ask " + net::to_text(host));
      auto result = failed(number);
      result.source_port = identifier;
      return result;
    }
    const auto next = std::min(deadline, Clock::now() + std::chrono::seconds(1));
    while (wait(socket, POLLIN, next)) {
      std::array<char, 2048> packet{};
      const auto size = ::recv(socket.number(), packet.data(), packet.size(), 0);
      if (size >= 0 && is_our_answer(packet, static_cast<std::size_t>(size), family, identifier)) {
        return {Answer::answered, {}, identifier};
      }
      if (size < 0 && is_no_way(errno)) {
        auto result = failed(errno, socket, host);
        result.source_port = identifier;
        return result;
      }
    }
  }
  return {Answer::silent, {}, identifier};
}

Asked connect(const std::optional<net::Address>& source, const net::Address& host, std::uint16_t port,
              std::chrono::milliseconds patience) {
  const auto socket = open_socket(source, host.family, SOCK_STREAM, 0);
  keep_errors(socket, host.family);
  const SocketAddress towards(host, port);
  const int begun = ::connect(socket.number(), towards.generic(), towards.size());
  const int begun_errno = errno;
  SocketAddress here(host, 0);
  auto size = here.size();
  ::getsockname(socket.number(), here.generic(), &size);

  Asked result{Answer::answered};
  if (begun != 0 && begun_errno != EINPROGRESS) {
    if (!is_no_way(begun_errno)) {
      errno = begun_errno;
      throw_errno("cannot ask " + net::to_text(host));
    }
    result = failed(begun_errno);
  } else if (begun != 0) {
    int number = ETIMEDOUT;
    socklen_t length = sizeof number;
    if (wait(socket, POLLOUT, Clock::now() + patience))
      ::getsockopt(socket.number(), SOL_SOCKET, SO_ERROR, &number, &length);
    if (number != 0) result = failed(number, socket, host);
  }
  result.source_port = here.port();
  return result;
}

}  // namespace ipmasq::probe
