// New connections between network namespaces: connections serve ADDRESS | connections dial ADDRESS COUNT
//
// serve: accepts at port 7 until killed; prints "ready". dial: opens COUNT connections one after the other
// and resets each; prints the microseconds of one.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string_view>

namespace {

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in address_of(const char* text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(7);
  if (inet_pton(AF_INET, text, &address.sin_addr) != 1) fail(text);
  return address;
}

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

[[noreturn]] void serve(const sockaddr_in& address) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, generic(address), sizeof address) != 0) fail("bind");
  if (listen(listener, SOMAXCONN) != 0) fail("listen");
  std::cout << "ready" << std::endl;
  for (;;) close(accept(listener, nullptr, nullptr));
}

void dial(const sockaddr_in& address, int count) {
  const linger reset{1, 0};
  const auto start = std::chrono::steady_clock::now();
  for (int number = 0; number < count; ++number) {
    const int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, generic(address), sizeof address) != 0) fail("connect");
    setsockopt(connection, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(connection);
  }
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  std::cout << took.count() / count << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "serve") serve(address_of(argv[2]));
  if (argc != 4 || std::string_view(argv[1]) != "dial") return 2;
  dial(address_of(argv[2]), std::atoi(argv[3]));
}
