#include "http/server.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <exception>
#include <system_error>
#include <utility>
#include <vector>

#include "error/error.hpp"

namespace ipmasq::http {

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t longest_request = 8192;
// After connections could not be taken, for want of descriptors or memory.
constexpr auto rest = 100ms;
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

// One request and its answer, as far as they have come.
class Exchange {
 public:
  explicit Exchange(os::FileDescriptor socket) : socket_(std::move(socket)) {}

  Clock::time_point deadline() const { return deadline_; }

  pollfd waited() const {
    const bool is_answered = !answer_.empty();
    return {socket_.number(), static_cast<short>(is_answered ? POLLOUT : POLLIN), 0};
  }

  // As far as it can come without waiting; whether there is more to come.
  bool go_on(const Pages& pages) { return answer_.empty() ? receive(pages) : send(); }

 private:
  static bool would_wait() { return errno == EAGAIN || errno == EINTR; }

  bool receive(const Pages& pages) {
    std::array<char, longest_request> block;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    const auto got = ::recv(socket_.number(), block.data(), longest_request - request_.size(), 0);
    if (got < 0) return would_wait();
    if (got == 0) return false;
    request_.append(block.data(), static_cast<std::size_t>(got));
    if (request_.find(end_of_head) != std::string::npos) {
      answer_ = answer_to(request_, pages);
    } else if (request_.size() == longest_request) {
      answer_ = response("431 Request Header Fields Too Large", {.body = "too long\n"});
    } else {
      return true;
    }
    return send();
  }

  bool send() {
    const auto sent = ::send(socket_.number(), answer_.data() + sent_, answer_.size() - sent_, MSG_NOSIGNAL);
    if (sent < 0) return would_wait();
    sent_ += static_cast<std::size_t>(sent);
    return sent_ < answer_.size();
  }

  os::FileDescriptor socket_;
  Clock::time_point deadline_ = Clock::now() + longest_exchange;
  std::string request_;
  std::string answer_;
  std::size_t sent_ = 0;
};

// All that are under way, the oldest first.
class Exchanges {
 public:
  explicit Exchanges(const Pages& pages) : pages_(pages) {}

  void append_waited(std::vector<pollfd>& waited) const {
    for (const auto& each : exchanges_) waited.push_back(each.waited());
  }

  // Until the oldest one's time is over.
  std::chrono::milliseconds patience() const {
    if (exchanges_.empty()) return 1h;
    const auto left = exchanges_.front().deadline() - Clock::now();
    return std::max(0ms, std::chrono::ceil<std::chrono::milliseconds>(left));
  }

  // `waited`: as append_waited() had it, with what came of it.
  void go_on(const pollfd* waited) {
    std::deque<Exchange> left;
    for (auto& each : exchanges_) {
      const bool is_ready = (waited++)->revents != 0;
      const bool goes_on = Clock::now() < each.deadline() && (!is_ready || go_on(each));
      if (goes_on) left.push_back(std::move(each));
    }
    exchanges_ = std::move(left);
  }

  // False where that is not possible now, though somebody waits.
  bool accept_from(const os::FileDescriptor& listener) {
    os::FileDescriptor socket(::accept4(listener.number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.is_open()) return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
    if (exchanges_.size() == most_connections) exchanges_.pop_front();
    exchanges_.emplace_back(std::move(socket));
    return true;
  }

 private:
  // A page that cannot be made is nobody else's trouble.
  bool go_on(Exchange& exchange) const {
    try {
      return exchange.go_on(pages_);
    } catch (const std::exception&) {
      return false;
    }
  }

  const Pages& pages_;
  std::deque<Exchange> exchanges_;
};

}  // namespace

std::string answer_to(std::string_view request, const Pages& pages) {
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
  const auto made = page->second();
  return response(made.status == 200 ? "200 OK" : "503 Service Unavailable", made);
}

Server::Server(const net::Address& address, std::uint16_t port, Pages pages)
    : listener_(::socket(address.family == net::Family::ipv4 ? AF_INET : AF_INET6,
                         SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      end_(::eventfd(0, EFD_CLOEXEC)),
      pages_(std::move(pages)) {
  const auto tried = "cannot listen at " + net::to_text(address) + " port " + std::to_string(port);
  const int on = 1;
  const auto at = socket_address(address, port);
  ::setsockopt(listener_.number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): how sockaddr is meant
  const auto* const place = reinterpret_cast<const sockaddr*>(&at.storage);
  constexpr int waiting = 128;
  if (!end_.is_open() || ::bind(listener_.number(), place, at.size) != 0 ||
      ::listen(listener_.number(), waiting) != 0) {
    throw_errno(tried);
  }
  try {
    thread_ = std::thread([this] { serve(); });
  } catch (const std::system_error& error) {
    throw Error(Kind::failed, tried + ": " + error.code().message());
  }
}

Server::~Server() {
  ::eventfd_write(end_.number(), 1);
  thread_.join();
}

void Server::serve() const {
  Exchanges exchanges(pages_);
  bool rests = false;
  for (;;) {
    std::vector<pollfd> waited{{end_.number(), POLLIN, 0}, {rests ? -1 : listener_.number(), POLLIN, 0}};
    exchanges.append_waited(waited);
    const auto patience = rests ? std::min(exchanges.patience(), rest) : exchanges.patience();
    if (::poll(waited.data(), waited.size(), static_cast<int>(patience.count())) < 0) {
      std::this_thread::sleep_for(rest);
      continue;
    }
    if (waited[0].revents != 0) return;
    exchanges.go_on(waited.data() + 2);
    rests = waited[1].revents != 0 && !exchanges.accept_from(listener_);
  }
}

}  // namespace ipmasq::http
