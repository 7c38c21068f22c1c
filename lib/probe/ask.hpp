// Asks a host for a sign of life, from the network namespace that the thread is in.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "net/address.hpp"

namespace ipmasq::probe {

enum class Answer {
  answered,
  refused,      ///< by the host itself, by TCP or by ICMP, which is an answer as well
  unreachable,  ///< this node, or a router on the way, says that there is no way, or that it may not pass
  silent        ///< nothing came in time
};

struct Asked {
  Answer answer = Answer::silent;
  std::string reason = {};        ///< of unreachable, and of refused by ICMP, in the kernel's words or ours
  std::uint16_t source_port = 0;  ///< or the identifier of the echo
};

/// An ICMP echo, sent every second until `patience` is over. `source`: empty for whichever the kernel takes.
/// Needs CAP_NET_RAW. Throws Error{failed} where it cannot be sent at all.
Asked echo(const std::optional<net::Address>& source, const net::Address& host,
           std::chrono::milliseconds patience);

/// A TCP connection to `port`, closed at once. Throws as echo().
Asked connect(const std::optional<net::Address>& source, const net::Address& host, std::uint16_t port,
              std::chrono::milliseconds patience);

}  // namespace ipmasq::probe
