#include "routing/learned_routes.hpp"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <functional>
#include <set>

#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

bool is_ip(const rtmsg& route) {
  return route.rtm_family == AF_INET || route.rtm_family == AF_INET6;
}

net::Prefix destination_of(const nlmsghdr& message) {
  const auto* const route = static_cast<const rtmsg*>(nlmsg_data(&message));
  net::Address address;
  address.family = route->rtm_family == AF_INET ? net::Family::ipv4 : net::Family::ipv6;
  // A default route has no RTA_DST.
  const auto destination = bytes_in(message, sizeof *route, RTA_DST);
  std::copy_n(destination.begin(), std::min(destination.size(), address.bytes.size()), address.bytes.begin());
  return net::network_of(address, route->rtm_dst_len);
}

void visit_routes(const std::function<void(const nlmsghdr& message, const rtmsg& route)>& visit) {
  const rtmsg all{};
  ask(RTM_GETROUTE, NLM_F_DUMP, std::as_bytes(std::span(&all, 1)), {}, [&visit](const nlmsghdr& message) {
    const auto* const route = static_cast<const rtmsg*>(nlmsg_data(&message));
    if (message.nlmsg_type == RTM_NEWROUTE && is_ip(*route)) visit(message, *route);
  });
}

}  // namespace

std::vector<net::Prefix> ospf_routes() {
  std::set<net::Prefix> found;
  visit_routes([&found](const nlmsghdr& message, const rtmsg& route) {
    if (route.rtm_protocol == RTPROT_OSPF && route.rtm_type == RTN_UNICAST)
      found.insert(destination_of(message));
  });
  return {found.begin(), found.end()};
}

std::vector<net::Prefix> routes_by_gateways(net::Family family) {
  std::set<net::Prefix> found;
  visit_routes([&](const nlmsghdr& message, const rtmsg& route) {
    const auto has = [&message](int type) { return !bytes_in(message, sizeof(rtmsg), type).empty(); };
    const auto destination = destination_of(message);
    if (route.rtm_type == RTN_UNICAST && destination.family() == family &&
        (has(RTA_GATEWAY) || has(RTA_VIA) || has(RTA_MULTIPATH) || has(RTA_NH_ID)))
      found.insert(destination);
  });
  return {found.begin(), found.end()};
}

}  // namespace ipmasq::routing
