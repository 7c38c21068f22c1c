#include "routing/learned_routes.hpp"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <set>

#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

void take(const nlmsghdr& message, std::set<net::Prefix>& found) {
  if (message.nlmsg_type != RTM_NEWROUTE) return;
  const auto* const route = static_cast<const rtmsg*>(nlmsg_data(&message));
  const bool is_ip = route->rtm_family == AF_INET || route->rtm_family == AF_INET6;
  if (!is_ip || route->rtm_protocol != RTPROT_OSPF || route->rtm_type != RTN_UNICAST) return;
  net::Address address;
  address.family = route->rtm_family == AF_INET ? net::Family::ipv4 : net::Family::ipv6;
  // A default route has no RTA_DST.
  const auto destination = bytes_in(message, sizeof *route, RTA_DST);
  std::copy_n(destination.begin(), std::min(destination.size(), address.bytes.size()), address.bytes.begin());
  found.insert(net::network_of(address, route->rtm_dst_len));
}

}  // namespace

std::vector<net::Prefix> ospf_routes() {
  std::set<net::Prefix> found;
  const rtmsg all{};
  ask(RTM_GETROUTE, NLM_F_DUMP, std::as_bytes(std::span(&all, 1)), {},
      [&found](const nlmsghdr& message) { take(message, found); });
  return {found.begin(), found.end()};
}

}  // namespace ipmasq::routing
