// A few fixed pages by HTTP/1.1, for probes and scrapers. RFC 9112, as far as a GET without a body needs it.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
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

/// What goes back for a request, whose head is all of `request` up to the empty line.
std::string answer_to(std::string_view request, const std::map<std::string, Page>& pages);

/// Answers in a thread of its own, one request after the other; one that takes longer than a second is given
/// up.
class Server {
 public:
  /// Throws Error{failed} where nobody can listen there.
  Server(const net::Address& address, std::uint16_t port);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  Server(Server&&) = delete;
  Server& operator=(Server&&) = delete;
  ~Server();

  /// What GET `path` is answered with from now on; until then all is 404.
  void put(const std::string& path, Page page);

 private:
  void serve();
  void answer(const os::FileDescriptor& connection);

  os::FileDescriptor listener_;
  os::FileDescriptor end_;
  std::mutex mutex_;
  std::map<std::string, Page> pages_;
  std::thread thread_;
};

}  // namespace ipmasq::http
