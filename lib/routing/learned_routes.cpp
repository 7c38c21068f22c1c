#include "routing/learned_routes.hpp"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <set>
#include <span>

#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

net::Prefix prefix_in(const nlmsghdr& message, int type, unsigned length, net::Family family) {
  net::Address address{family, {}};
  // A default route has no RTA_DST.
  const auto bytes = bytes_in(message, sizeof(rtmsg), type);
  std::copy_n(bytes.begin(), std::min(bytes.size(), address.bytes.size()), address.bytes.begin());
  return net::network_of(address, length);
}

KernelRoute route_in(const nlmsghdr& message, net::Family family) {
  const auto* const route = static_cast<const rtmsg*>(nlmsg_data(&message));
  const auto in = [&message](int type) { return bytes_in(message, sizeof(rtmsg), type); };
  const auto has = [&in](int type) { return !in(type).empty(); };
  return {.destination = prefix_in(message, RTA_DST, route->rtm_dst_len, family),
          .type = route->rtm_type,
          .table = has(RTA_TABLE) ? number_in(in(RTA_TABLE)) : route->rtm_table,
          .interface = number_in(in(RTA_OIF)),
          .metric = number_in(in(RTA_PRIORITY)),
          .tos = route->rtm_tos,
          .source = prefix_in(message, RTA_SRC, route->rtm_src_len, family),
          .is_dead = (route->rtm_flags & RTNH_F_DEAD) != 0,
          .has_gateway = has(RTA_GATEWAY) || has(RTA_VIA) || has(RTA_MULTIPATH) || has(RTA_NH_ID),
          .is_of_ospf = route->rtm_protocol == RTPROT_OSPF,
          .is_the_kernels = route->rtm_protocol == RTPROT_KERNEL,
          .nexthop = number_in(in(RTA_NH_ID))};
}

}  // namespace

std::vector<KernelRoute> routes(net::Family family) {
  rtmsg all{};
  all.rtm_family = family == net::Family::ipv4 ? AF_INET : AF_INET6;
  std::vector<KernelRoute> found;
  ask(RTM_GETROUTE, NLM_F_DUMP, std::as_bytes(std::span(&all, 1)), {}, [&](const nlmsghdr& message) {
    const auto* const route = static_cast<const rtmsg*>(nlmsg_data(&message));
    if (message.nlmsg_type == RTM_NEWROUTE && route->rtm_family == all.rtm_family)
      found.push_back(route_in(message, family));
  });
  return found;
}

std::vector<net::Prefix> ospf_routes() {
  std::set<net::Prefix> found;
  for (const auto family : {net::Family::ipv4, net::Family::ipv6}) {
    for (const auto& route : routes(family)) {
      if (route.type == RTN_UNICAST && route.is_of_ospf) found.insert(route.destination);
    }
  }
  return {found.begin(), found.end()};
}

std::vector<net::Prefix> routes_by_gateways(net::Family family) {
  std::set<net::Prefix> found;
  for (const auto& route : routes(family)) {
    if (route.type == RTN_UNICAST && route.has_gateway) found.insert(route.destination);
  }
  return {found.begin(), found.end()};
}

}  // namespace ipmasq::routing
