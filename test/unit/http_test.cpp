#include <doctest/doctest.h>

#include "http/server.hpp"

namespace ipmasq::http {

namespace {

std::function<Page()> always(const Page& page) {
  return [page] { return page; };
}

}  // namespace

TEST_CASE("a page is sent whole") {
  const Pages pages{{"/healthz", always({.body = "ok\n"})},
                    {"/ill", always({.status = 503, .type = "a/b", .body = "no\n"})}};
  CHECK(answer_to("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", pages) ==
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\nConnection: "
        "close\r\n\r\nok\n");
  CHECK(answer_to("GET /healthz?verbose HTTP/1.0\r\n\r\n", pages).starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(answer_to("GET /ill HTTP/1.1\r\n\r\n", pages) ==
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: a/b\r\nContent-Length: 3\r\nConnection: "
        "close\r\n\r\nno\n");
}

TEST_CASE("a page is made anew for each request that asks for it") {
  int asked = 0;
  const Pages pages{{"/count", [&asked] { return Page{.body = std::to_string(++asked)}; }}};
  CHECK(answer_to("GET /count HTTP/1.1\r\n\r\n", pages).ends_with("\r\n\r\n1"));
  CHECK(answer_to("GET /other HTTP/1.1\r\n\r\n", pages).starts_with("HTTP/1.1 404 "));
  CHECK(answer_to("GET /count HTTP/1.1\r\n\r\n", pages).ends_with("\r\n\r\n2"));
}

TEST_CASE("other requests are answered with what is wrong") {
  const Pages pages{{"/healthz", always({.body = "ok\n"})}};
  const auto status = [&](std::string_view request) { return answer_to(request, pages).substr(9, 3); };
  CHECK(status("GET / HTTP/1.1\r\n\r\n") == "404");
  CHECK(status("GET  HTTP/1.1\r\n\r\n") == "404");
  CHECK(status("POST /healthz HTTP/1.1\r\n\r\n") == "405");
  CHECK(status("GET /healthz\r\n\r\n") == "400");
  CHECK(status("GET /healthz SMTP\r\n\r\n") == "400");
  CHECK(status("\r\n\r\n") == "400");
  CHECK(status("") == "400");
}

}  // namespace ipmasq::http
