#include "http/server.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "error/error.hpp"

namespace ipmasq::http {

namespace {

constexpr std::size_t longest_request = 8192;
constexpr std::string_view end_of_head = "\r\n\r\n";

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress socket_address(const net::Address& address, std::uint16_t port) {
  SocketAddress made;
  if (address.family == net::Family::ipv4) {
    sockaddr_in ipv4{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
    std::memcpy(&ipv4.sin_addr, address.bytes.data(), sizeof ipv4.sin_addr);
    std::memcpy(&made.storage, &ipv4, made.size = sizeof ipv4);
  } else {
    sockaddr_in6 ipv6{.sin6_family = AF_INET6,
                      .sin6_port = htons(port),
                      .sin6_flowinfo = 0,
                      .sin6_addr = {},
                      .sin6_scope_id = 0};
    std::memcpy(&ipv6.sin6_addr, address.bytes.data(), sizeof ipv6.sin6_addr);
    std::memcpy(&made.storage, &ipv6, made.size = sizeof ipv6);
  }
  return made;
}

std::string response(std::string_view status, const Page& page) {
  return "HTTP/1.1 " + std::string(status) + "\r\nContent-Type: " + page.type +
         "\r\nContent-Length: " + std::to_string(page.body.size()) + "\r\nConnection: close\r\n\r\n" +
         page.body;
}

}  // namespace

std::string answer_to(std::string_view request, const std::map<std::string, Page>& pages) {
  const auto line = request.substr(0, request.find("\r\n"));
  const auto after_method = line.find(' ');
  const auto after_target = line.rfind(' ');
  const bool is_http = after_method != std::string_view::npos && after_target > after_method &&
                       line.substr(after_target).starts_with(" HTTP/1.");
  if (!is_http) return response("400 Bad Request", {.body = "not HTTP/1.1\n"});
  if (line.substr(0, after_method) != "GET")
    return response("405 Method Not Allowed", {.body = "GET only\n"});
  const auto target = line.substr(after_method + 1, after_target - after_method - 1);
  const auto page = pages.find(std::string(target.substr(0, target.find('?'))));
  if (page == pages.end()) return response("404 Not Found", {.body = "no such page\n"});
  return response(page->second.status == 200 ? "200 OK" : "503 Service Unavailable", page->second);
}

Server::Server(const net::Address& address, std::uint16_t port)
    : listener_(
          ::socket(address.family == net::Family::ipv4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      end_(::eventfd(0, EFD_CLOEXEC)) {
  const int on = 1;
  const auto at = socket_address(address, port);
  ::setsockopt(listener_.number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): how sockaddr is meant
  const auto* const place = reinterpret_cast<const sockaddr*>(&at.storage);
  constexpr int waiting = 16;
  if (!end_.is_open() || ::bind(listener_.number(), place, at.size) != 0 ||
      ::listen(listener_.number(), waiting) != 0) {
    throw_errno("cannot listen at " + net::to_text(address) + " port " + std::to_string(port));
  }
  thread_ = std::thread([this] { serve(); });
}

Server::~Server() {
  ::eventfd_write(end_.number(), 1);
  thread_.join();
}

void Server::put(const std::string& path, Page page) {
  const std::lock_guard guard(mutex_);
  pages_[path] = std::move(page);
}

void Server::serve() {
  for (;;) {
    std::array<pollfd, 2> waited{{{listener_.number(), POLLIN, 0}, {end_.number(), POLLIN, 0}}};
    ::poll(waited.data(), waited.size(), -1);
    if (waited[1].revents != 0) return;
    const os::FileDescriptor connection(::accept4(listener_.number(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.is_open()) answer(connection);
  }
}

void Server::answer(const os::FileDescriptor& connection) {
  constexpr timeval patience{.tv_sec = 1, .tv_usec = 0};
  ::setsockopt(connection.number(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(connection.number(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  std::string request(longest_request, '\0');
  std::size_t used = 0;
  while (std::string_view(request.data(), used).find(end_of_head) == std::string_view::npos) {
    const auto got = ::recv(connection.number(), request.data() + used, request.size() - used, 0);
    if (got <= 0) return;
    used += static_cast<std::size_t>(got);
  }
  const std::unique_lock guard(mutex_);
  const auto text = answer_to(std::string_view(request.data(), used), pages_);
  ::send(connection.number(), text.data(), text.size(), MSG_NOSIGNAL);
}

}  // namespace ipmasq::http
