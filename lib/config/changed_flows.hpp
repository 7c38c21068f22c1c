// What becomes of connections that live when the lists change.
#pragma once

#include <cstdint>

namespace ipmasq::config {

/// Which of those are ended that the lists would let out with another source now, so that they follow: none;
/// those of UDP and ICMP, which go on at once; TCP as well, which is reset.
enum class ChangedFlows : std::uint8_t { keep, udp, all };

}  // namespace ipmasq::config
