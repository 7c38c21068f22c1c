#include "routing/pod_route.hpp"

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
#include <utility>
#include <vector>

#include "routing/node_addresses.hpp"
#include "routing/route_question.hpp"
#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

// The answer for packets that this node sends; nullopt where no way leads there, or the address is its own.
std::optional<RouteAnswer> route_to(const net::Address& address) {
  auto answer = ask_for_route({.source = {address.family, {}}, .destination = address});
  return answer.number == 0 && answer.type == RTN_UNICAST ? std::optional(answer) : std::nullopt;
}

struct Link {
  std::string name;
  std::string kind;  // "bridge", "veth"; empty for a device of hardware
  int master = 0;    // the bridge, bond or team that it is a port of
  int lower = 0;     // what it stands on, or the other end, in this network namespace
  bool is_up = false;
};

std::string kind_in(const nlmsghdr& message) {
  const auto info = bytes_in(message, sizeof(ifinfomsg), IFLA_LINKINFO);
  for (std::size_t offset = 0; offset + sizeof(nlattr) <= info.size();) {
    nlattr attribute{};
    std::memcpy(&attribute, info.data() + offset, sizeof attribute);
    if (attribute.nla_len < sizeof attribute || offset + attribute.nla_len > info.size()) break;
    if (attribute.nla_type == IFLA_INFO_KIND)
      return text_in(info.subspan(offset + sizeof attribute, attribute.nla_len - sizeof attribute));
    offset += static_cast<std::size_t>(NLA_ALIGN(attribute.nla_len));
  }
  return "";
}

Link link_in(const nlmsghdr& message) {
  const auto number = [&message](int type) {
    return static_cast<int>(number_in(bytes_in(message, sizeof(ifinfomsg), type)));
  };
  // Of a link into another network namespace, the number is that of a link there.
  const bool is_elsewhere = !bytes_in(message, sizeof(ifinfomsg), IFLA_LINK_NETNSID).empty();
  const bool is_up = (static_cast<const ifinfomsg*>(nlmsg_data(&message))->ifi_flags & IFF_UP) != 0;
  return {text_in(bytes_in(message, sizeof(ifinfomsg), IFLA_IFNAME)), kind_in(message), number(IFLA_MASTER),
          is_elsewhere ? 0 : number(IFLA_LINK), is_up};
}

Link link_of(unsigned interface) {
  ifinfomsg question{};
  question.ifi_index = static_cast<int>(interface);
  Link link;
  ask(RTM_GETLINK, 0, std::as_bytes(std::span(&question, 1)), {},
      [&link](const nlmsghdr& message) { link = link_in(message); });
  return link;
}

// By their numbers; of `master` alone where that is not 0.
std::map<int, Link> links_of(std::uint32_t master) {
  std::map<int, Link> links;
  const ifinfomsg every{};
  const std::uint32_t without = RTEXT_FILTER_SKIP_STATS;
  std::array<std::uint8_t, sizeof master> master_bytes{};
  std::array<std::uint8_t, sizeof without> without_bytes{};
  std::memcpy(master_bytes.data(), &master, sizeof master);
  std::memcpy(without_bytes.data(), &without, sizeof without);
  std::vector<Attribute> attributes{{IFLA_EXT_MASK, without_bytes}};
  if (master != 0) attributes.push_back({IFLA_MASTER, master_bytes});
  ask(RTM_GETLINK, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), attributes,
      [&links](const nlmsghdr& message) {
        links[static_cast<const ifinfomsg*>(nlmsg_data(&message))->ifi_index] = link_in(message);
      });
  return links;
}

bool leads_out(const Link& link) {
  constexpr std::array<std::string_view, 7> leading_out{"",        "vlan",   "bond",   "team",
                                                        "macvlan", "ipvlan", "macvtap"};
  return std::ranges::find(leading_out, link.kind) != leading_out.end();
}

bool has_port_that_leads_out(unsigned bridge) {
  return std::ranges::any_of(links_of(bridge), [bridge](const auto& each) {
    return each.second.master == static_cast<int>(bridge) && leads_out(each.second);
  });
}

// An address that nobody has (RFC 5737, RFC 3849) goes where all goes that is not known better.
bool is_way_out(unsigned interface, net::Family family) {
  const auto elsewhere = net::parse_address(family == net::Family::ipv4 ? "192.0.2.1" : "2001:db8::1");
  const auto route = elsewhere ? route_to(*elsewhere) : std::nullopt;
  return route && route->interface() == interface;
}

// Whether a pod can be at the other end of it.
bool may_have_pod(const Link& link) {
  constexpr std::array<std::string_view, 3> ending_here{"bridge", "dummy", ""};
  const bool is_in_two = link.kind == "veth" && (link.lower != 0 || link.master != 0);
  return !is_in_two && std::ranges::find(ending_here, link.kind) == ending_here.end();
}

// A route that somebody put before the one of the bridge that the pod is on.
bool leads_past_bridge(const net::Address& pod, const RouteAnswer& route, const std::string& own) {
  if (may_have_pod(link_of(route.interface()))) return false;
  bool is_past = false;
  for (const auto& [interface, network] : networks_by_interface()) {
    if (network.length == net::bits(pod.family) || !network.contains(pod)) continue;
    if (interface == own) return false;
    is_past = is_past || is_bridge(interface);
  }
  return is_past;
}

}  // namespace

bool is_on_an_uplink(const net::InterfaceAddress& pod, bool has_host_interface, Ports ports) {
  const auto bits = net::bits(pod.address.family);
  if (pod.length == bits) return false;
  const auto route = route_to(pod.address);
  if (!route) {
    const auto here = node_addresses();
    return std::ranges::find(here, pod.address) != here.end();
  }
  if (!route->is_on_link || route->length == bits || route->length == 0) return false;
  const auto link = link_of(route->interface());
  const bool is_bridge = link.kind == "bridge";
  return (!has_host_interface && !is_bridge) || leads_out(link) ||
         (is_bridge && ports == Ports::asked && has_port_that_leads_out(route->interface())) ||
         is_way_out(route->interface(), pod.address.family);
}

bool has_own_way_to(const net::Address& address) {
  const auto route = route_to(address);
  return route && route->length != 0;
}

std::optional<std::string> interface_towards(const net::Address& address) {
  auto name = interface_of(ask_for_route({.source = {address.family, {}}, .destination = address}));
  return name.empty() ? std::nullopt : std::optional(std::move(name));
}

std::optional<std::string> interface_of_pod(const net::Address& pod) {
  const auto route = route_to(pod);
  const auto own = route ? interface_of(*route) : "";
  const bool leads_to_it =
      !own.empty() && !leads_out(link_of(route->interface())) && !is_way_out(route->interface(), pod.family);
  if (leads_to_it && !leads_past_bridge(pod, *route, own)) return own;
  std::pair<std::string, net::Prefix> nearest{leads_to_it ? "" : own, {}};
  for (auto& each : networks_by_interface()) {
    const bool is_nearer = each.second.length < net::bits(pod.family) &&
                           (nearest.first.empty() || nearest.second.length < each.second.length);
    if (each.second.contains(pod) && is_nearer) nearest = std::move(each);
  }
  return nearest.first.empty() ? std::nullopt : std::optional(std::move(nearest.first));
}

bool swallows(const std::string& interface) {
  const auto index = ::if_nametoindex(interface.c_str());
  constexpr unsigned loopback = 1;  // of each network namespace
  return index == loopback || (index != 0 && link_of(index).kind == "dummy");
}

std::optional<LinkState> link_state(const std::string& name) {
  const auto index = ::if_nametoindex(name.c_str());
  if (index == 0) return std::nullopt;
  const auto link = link_of(index);
  const auto master = link.master == 0 ? "" : link_of(static_cast<unsigned>(link.master)).name;
  return LinkState{link.is_up, link.kind == "bridge", link.kind == "veth", master};
}

bool is_bridge(const std::string& interface) {
  const auto index = ::if_nametoindex(interface.c_str());
  return index != 0 && link_of(index).kind == "bridge";
}

bool brings_packets_of_pods(const std::string& interface) {
  const auto index = ::if_nametoindex(interface.c_str());
  if (index == 0) return false;
  const auto link = link_of(index);
  return link.kind == "bridge" || (link.kind == "veth" && link.master == 0 && link.lower == 0);
}

std::set<std::string> devices_of(const std::string& interface) {
  const auto links = links_of(0);
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
    if (const auto found = links.find(index); found != links.end()) devices.insert(found->second.name);
  }
  return devices;
}

}  // namespace ipmasq::routing
