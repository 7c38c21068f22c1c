// The connections of this network namespace that connection tracking has, and how one is ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "net/address.hpp"

namespace ipmasq::netfilter {

struct LiveConnection {
  std::uint8_t protocol = 0;   ///< as IP numbers them
  net::Address source;         ///< who opened it
  net::Address destination;    ///< whom it was for
  net::Address seen;           ///< the source that the other side sees
  bool is_redirected = false;  ///< somebody else than `destination` answers
};

/// What the kernel finds a connection by: no other one, should it have ended meanwhile.
struct ConnectionHandle {
  net::Family family = net::Family::ipv4;
  std::vector<std::uint8_t> tuple = {};  ///< CTA_TUPLE_ORIG, as the kernel wrote it; never empty
  std::vector<std::uint8_t> id = {};     ///< CTA_ID
  std::vector<std::uint8_t> zone = {};   ///< CTA_ZONE; empty for the usual one
};

/// The first `most` that `is_asked_for` takes. Throws Error: absent where the kernel has no such question,
/// forbidden, busy, failed.
std::vector<ConnectionHandle> live_connections(
    net::Family family, std::size_t most, const std::function<bool(const LiveConnection&)>& is_asked_for);

/// Ends them: the next packet of each is the first of another one. Returns how many were still there. Throws
/// Error likewise.
std::size_t end_connections(const std::vector<ConnectionHandle>& connections);

/// What stands in the place of connections that were ended.
struct Successors {
  std::vector<ConnectionHandle> of_other_side = {};  ///< opened by it, to whoever had opened the ended one
  std::size_t missing = 0;                           ///< nobody has sent anything since
};

/// Throws Error likewise.
Successors successors_of(const std::vector<ConnectionHandle>& ended);

}  // namespace ipmasq::netfilter
