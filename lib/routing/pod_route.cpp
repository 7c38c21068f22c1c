#include "routing/pod_route.hpp"

#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "error/error.hpp"
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
std::optional<Route> route_to(const net::Address& address, const std::vector<Attribute>& of_packet = {}) {
  const auto bits = net::bits(address.family);
  rtmsg question{};
  question.rtm_family = address.family == net::Family::ipv4 ? AF_INET : AF_INET6;
  question.rtm_dst_len = static_cast<unsigned char>(bits);
  question.rtm_src_len = of_packet.empty() ? 0 : question.rtm_dst_len;
  question.rtm_flags = RTM_F_FIB_MATCH;
  std::vector<Attribute> attributes{{RTA_DST, std::span(address.bytes).first(bits / 8)}};
  attributes.insert(attributes.end(), of_packet.begin(), of_packet.end());
  std::optional<Route> found;
  ask(RTM_GETROUTE, 0, std::as_bytes(std::span(&question, 1)), attributes, [&found](const nlmsghdr& message) {
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

std::string text_in(std::span<const std::uint8_t> bytes) {
  return {bytes.begin(), std::ranges::find(bytes, std::uint8_t{0})};
}

std::optional<std::string> name_of(const std::optional<Route>& route) {
  std::array<char, IF_NAMESIZE> name{};
  if (!route || route->interface == 0 ||
      ::if_indextoname(static_cast<unsigned>(route->interface), name.data()) == nullptr)
    return std::nullopt;
  return name.data();
}

// Whether an address may be one that a rule of policy routing is for.
bool is_for(const nlmsghdr& rule, int type, unsigned length, const net::Address& address) {
  net::Address network{address.family, {}};
  const auto bytes = bytes_in(rule, sizeof(fib_rule_hdr), type);
  if (bytes.size() > network.bytes.size()) return true;
  std::ranges::copy(bytes, network.bytes.begin());
  return bytes.empty() || net::network_of(network, length).contains(address);
}

// Whether a rule of policy routing that may be for a packet asks for more than addresses and an interface.
bool is_chosen_by_more(const net::Address& address, const net::Address& source,
                       const std::string& in_interface) {
  fib_rule_hdr every{};
  every.family = address.family == net::Family::ipv4 ? AF_INET : AF_INET6;
  bool asks_for_more = false;
  ask(RTM_GETRULE, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {}, [&](const nlmsghdr& message) {
    const auto* const rule = static_cast<const fib_rule_hdr*>(nlmsg_data(&message));
    const auto has = [&message](int type) { return !bytes_in(message, sizeof(fib_rule_hdr), type).empty(); };
    const bool is_inverted = (rule->flags & FIB_RULE_INVERT) != 0;
    const auto interface = text_in(bytes_in(message, sizeof(fib_rule_hdr), FRA_IIFNAME));
    const bool may_be_for_it = is_inverted || ((interface.empty() || interface == in_interface) &&
                                               is_for(message, FRA_SRC, rule->src_len, source) &&
                                               is_for(message, FRA_DST, rule->dst_len, address));
    const bool asks = rule->tos != 0 || has(FRA_FWMASK) || has(FRA_IP_PROTO) || has(FRA_SPORT_RANGE) ||
                      has(FRA_DPORT_RANGE) || has(FRA_TUN_ID);
    asks_for_more = asks_for_more || (may_be_for_it && asks);
  });
  return asks_for_more;
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
  const auto kind = kind_of_link(route->interface);
  const bool may_lead_out = !has_host_interface && kind != "bridge";
  return may_lead_out || std::ranges::find(leading_out, kind) != leading_out.end() ||
         is_way_out(route->interface, pod.address.family);
}

std::optional<std::string> interface_towards(const net::Address& address) {
  return name_of(route_to(address));
}

std::optional<std::string> interface_towards(const net::Address& address, const net::Address& source,
                                             const std::string& in_interface) {
  const auto index = ::if_nametoindex(in_interface.c_str());
  std::array<std::uint8_t, sizeof index> index_bytes{};
  std::memcpy(index_bytes.data(), &index, sizeof index);
  try {
    if (index == 0 || is_chosen_by_more(address, source, in_interface)) return std::nullopt;
    const auto source_bytes = std::span(source.bytes).first(net::bits(source.family) / 8);
    return name_of(route_to(address, {{RTA_SRC, source_bytes}, {RTA_IIF, index_bytes}}));
  } catch (const Error&) {  // as where rp_filter would drop them
    return std::nullopt;
  }
}

std::set<std::string> devices_of(const std::string& interface) {
  struct Link {
    std::string name;
    int master = 0;
    int lower = 0;
  };
  std::map<int, Link> links;
  const ifinfomsg every{};
  ask(RTM_GETLINK, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {}, [&links](const nlmsghdr& message) {
    const auto* const link = static_cast<const ifinfomsg*>(nlmsg_data(&message));
    const auto number = [&message](int type) {
      return number_in(bytes_in(message, sizeof(ifinfomsg), type));
    };
    // Of a link into another network namespace, the number is that of a link there.
    const bool is_elsewhere = !bytes_in(message, sizeof(ifinfomsg), IFLA_LINK_NETNSID).empty();
    links[link->ifi_index] = {text_in(bytes_in(message, sizeof(ifinfomsg), IFLA_IFNAME)), number(IFLA_MASTER),
                              is_elsewhere ? 0 : number(IFLA_LINK)};
  });
  std::set<int> below{static_cast<int>(::if_nametoindex(interface.c_str()))};
  for (std::size_t before = 0; before != below.size();) {
    before = below.size();
    for (const auto& [index, link] : links) {
      if (below.contains(link.master)) below.insert(index);
      if (below.contains(index) && link.lower != 0) below.insert(link.lower);
    }
  }
  std::set<std::string> devices{interface};
  for (const auto index : below) {
    if (links.contains(index)) devices.insert(links[index].name);
  }
  return devices;
}

}  // namespace ipmasq::routing
