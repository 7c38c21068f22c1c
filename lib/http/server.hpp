// A few pages by HTTP/1.1, for probes and scrapers. RFC 9112, as far as a GET without a body needs it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thread>

#include "net/address.hpp"
#include "os/file.hpp"

namespace ipmasq::http {

struct Page {
  int status = 200;  ///< 200 or 503
  std::string type = "text/plain; charset=utf-8";
  std::string body = {};

  bool operator==(const Page&) const = default;
};

/// By path; each is made anew for every request that asks for it.
using Pages = std::map<std::string, std::function<Page()>>;

/// What goes back for a request, whose head is all of `request` up to the empty line.
std::string answer_to(std::string_view request, const Pages& pages);

/// Connections at once, and how long one may take from its start to the last byte of its answer. Where there
/// are more, the oldest one gives way: who sends its request at once is answered at once, whoever else holds
/// on.
inline constexpr std::size_t most_connections = 64;
inline constexpr std::chrono::seconds longest_exchange{5};

/// Answers in a thread of its own, which never waits for a client. Pages are made in that thread.
class Server {
 public:
  /// Throws Error{failed} where nobody can listen there.
  Server(const net::Address& address, std::uint16_t port, Pages pages);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  Server(Server&&) = delete;
  Server& operator=(Server&&) = delete;
  /// At once, whatever clients are at.
  ~Server();

 private:
  void serve() const;

  os::FileDescriptor listener_;
  os::FileDescriptor end_;
  Pages pages_;
  std::thread thread_;
};

}  // namespace ipmasq::http
