#include "plugin/commands/learned_routes.hpp"

#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <algorithm>
#include <memory>
#include <set>

namespace ipmasq::plugin {

namespace {

void take(const nlmsghdr* message, std::set<net::Prefix>& found) {
  if (message->nlmsg_type != RTM_NEWROUTE) return;
  const auto* const route = static_cast<const rtmsg*>(nlmsg_data(message));
  const bool is_ip = route->rtm_family == AF_INET || route->rtm_family == AF_INET6;
  if (!is_ip || route->rtm_protocol != RTPROT_OSPF || route->rtm_type != RTN_UNICAST) return;
  net::Address address;
  address.family = route->rtm_family == AF_INET ? net::Family::ipv4 : net::Family::ipv6;
  // A default route has no RTA_DST.
  const auto* const destination = nlmsg_find_attr(const_cast<nlmsghdr*>(message), sizeof *route, RTA_DST);
  if (destination != nullptr) {
    const auto size =
        std::min<std::size_t>(static_cast<std::size_t>(nla_len(destination)), address.bytes.size());
    std::copy_n(static_cast<const std::uint8_t*>(nla_data(destination)), size, address.bytes.begin());
  }
  found.insert(net::network_of(address, route->rtm_dst_len));
}

}  // namespace

std::vector<net::Prefix> ospf_routes() {
  const std::unique_ptr<nl_sock, decltype(&nl_socket_free)> socket(nl_socket_alloc(), nl_socket_free);
  if (!socket || nl_connect(socket.get(), NETLINK_ROUTE) != 0) return {};
  std::set<net::Prefix> found;
  const nl_recvmsg_msg_cb_t visit = [](nl_msg* message, void* to) -> int {
    take(nlmsg_hdr(message), *static_cast<std::set<net::Prefix>*>(to));
    return NL_OK;
  };
  nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, visit, &found);
  rtmsg all{};
  if (nl_send_simple(socket.get(), RTM_GETROUTE, NLM_F_DUMP, &all, sizeof all) < 0) return {};
  if (nl_recvmsgs_default(socket.get()) < 0) return {};
  return {found.begin(), found.end()};
}

}  // namespace ipmasq::plugin
