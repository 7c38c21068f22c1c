// The protocols whose source ports a translation can choose.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ipmasq::nat {

/// IP protocol numbers (IANA).
enum class Protocol : std::uint8_t { tcp = 6, udp = 17, sctp = 132 };

inline constexpr std::array<Protocol, 3> protocols_with_ports{Protocol::tcp, Protocol::udp, Protocol::sctp};

/// As iptables and nft call it.
constexpr std::string_view to_text(Protocol protocol) {
  switch (protocol) {
    case Protocol::tcp:
      return "tcp";
    case Protocol::udp:
      return "udp";
    case Protocol::sctp:
      return "sctp";
  }
  return "";
}

}  // namespace ipmasq::nat
