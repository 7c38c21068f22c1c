#include "routing/pod_route.hpp"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

struct Route {
  int interface = 0;
  unsigned length = 0;  // of its destination
  bool is_on_link = false;
};

int number_in(std::span<const std::uint8_t> bytes) {
  int number = 0;
  if (bytes.size() == sizeof number) std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

// The route that packets to an address take; nullopt where none does, or the address is this node's own.
std::optional<Route> route_to(const net::Address& address) {
  const auto bits = net::bits(address.family);
  rtmsg question{};
  question.rtm_family = address.family == net::Family::ipv4 ? AF_INET : AF_INET6;
  question.rtm_dst_len = static_cast<unsigned char>(bits);
  question.rtm_flags = RTM_F_FIB_MATCH;
  std::optional<Route> found;
  ask(RTM_GETROUTE, 0, std::as_bytes(std::span(&question, 1)),
      {{RTA_DST, std::span(address.bytes).first(bits / 8)}}, [&found](const nlmsghdr& message) {
        const auto* const route = static_cast<const rtmsg*>(nlmsg_data(&message));
        if (message.nlmsg_type != RTM_NEWROUTE || route->rtm_type != RTN_UNICAST) return;
        const bool has_gateway = !bytes_in(message, sizeof *route, RTA_GATEWAY).empty() ||
                                 !bytes_in(message, sizeof *route, RTA_VIA).empty() ||
                                 !bytes_in(message, sizeof *route, RTA_MULTIPATH).empty();
        found = {number_in(bytes_in(message, sizeof *route, RTA_OIF)), route->rtm_dst_len, !has_gateway};
      });
  return found;
}

// IFLA_INFO_KIND: "bridge", "veth"; empty for a device of hardware.
std::string kind_of_link(int interface) {
  ifinfomsg question{};
  question.ifi_index = interface;
  std::string kind;
  ask(RTM_GETLINK, 0, std::as_bytes(std::span(&question, 1)), {}, [&kind](const nlmsghdr& message) {
    const auto info = bytes_in(message, sizeof(ifinfomsg), IFLA_LINKINFO);
    for (std::size_t offset = 0; offset + sizeof(nlattr) <= info.size();) {
      nlattr attribute{};
      std::memcpy(&attribute, info.data() + offset, sizeof attribute);
      if (attribute.nla_len < sizeof attribute || offset + attribute.nla_len > info.size()) return;
      if (attribute.nla_type == IFLA_INFO_KIND) {
        const auto text = info.subspan(offset + sizeof attribute, attribute.nla_len - sizeof attribute);
        kind.assign(text.begin(), std::ranges::find(text, std::uint8_t{0}));
      }
      offset += static_cast<std::size_t>(NLA_ALIGN(attribute.nla_len));
    }
  });
  return kind;
}

// An address that nobody has (RFC 5737, RFC 3849) goes where all goes that is not known better.
bool is_way_out(int interface, net::Family family) {
  const auto elsewhere = net::parse_address(family == net::Family::ipv4 ? "192.0.2.1" : "2001:db8::1");
  const auto route = elsewhere ? route_to(*elsewhere) : std::nullopt;
  return route && route->interface == interface;
}

}  // namespace

bool is_on_an_uplink(const net::InterfaceAddress& pod, bool has_host_interface) {
  const auto bits = net::bits(pod.address.family);
  if (pod.length == bits) return false;
  const auto route = route_to(pod.address);
  if (!route || !route->is_on_link || route->length == bits || route->length == 0) return false;
  constexpr std::array<std::string_view, 7> leading_out{"",        "vlan",   "bond",   "team",
                                                        "macvlan", "ipvlan", "macvtap"};
  return !has_host_interface ||
         std::ranges::find(leading_out, kind_of_link(route->interface)) != leading_out.end() ||
         is_way_out(route->interface, pod.address.family);
}

std::optional<std::string> interface_towards(const net::Address& address) {
  const auto route = route_to(address);
  std::array<char, IF_NAMESIZE> name{};
  if (!route || route->interface == 0 ||
      ::if_indextoname(static_cast<unsigned>(route->interface), name.data()) == nullptr)
    return std::nullopt;
  return name.data();
}

std::set<std::string> devices_towards(const net::Address& address) {
  const auto name = interface_towards(address);
  if (!name) return {};
  std::set<std::string> devices{*name};
  const auto bridge = static_cast<int>(::if_nametoindex(name->c_str()));
  const ifinfomsg every{};
  ask(RTM_GETLINK, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {}, [&](const nlmsghdr& message) {
    const auto port = bytes_in(message, sizeof(ifinfomsg), IFLA_IFNAME);
    if (number_in(bytes_in(message, sizeof(ifinfomsg), IFLA_MASTER)) == bridge)
      devices.emplace(port.begin(), std::ranges::find(port, std::uint8_t{0}));
  });
  return devices;
}

}  // namespace ipmasq::routing
