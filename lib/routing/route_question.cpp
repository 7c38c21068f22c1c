#include "routing/route_question.hpp"

#include <arpa/inet.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <span>
#include <vector>

#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

constexpr unsigned bits_of_byte = 8;

// Of rtnexthop's, one after the other; those that are down lead nothing.
std::set<unsigned> next_hops_in(std::span<const std::uint8_t> bytes) {
  std::set<unsigned> interfaces;
  rtnexthop hop{};
  while (bytes.size() >= sizeof hop) {
    std::memcpy(&hop, bytes.data(), sizeof hop);
    if (hop.rtnh_len < sizeof hop || hop.rtnh_len > bytes.size()) break;
    if ((hop.rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)) == 0)
      interfaces.insert(static_cast<unsigned>(hop.rtnh_ifindex));
    bytes = bytes.subspan(std::min<std::size_t>(RTNH_ALIGN(hop.rtnh_len), bytes.size()));
  }
  return interfaces;
}

class Question {
 public:
  explicit Question(const Packet& packet) {
    const auto family = packet.destination.family;
    const auto bits = net::bits(family);
    header_.rtm_family = family == net::Family::ipv4 ? AF_INET : AF_INET6;
    header_.rtm_dst_len = static_cast<unsigned char>(bits);
    header_.rtm_tos = packet.tos;
    header_.rtm_flags = RTM_F_FIB_MATCH;
    attributes_.push_back({RTA_DST, std::span(packet.destination.bytes).first(bits / bits_of_byte)});
    if (!packet.source.is_unspecified()) {
      header_.rtm_src_len = header_.rtm_dst_len;
      attributes_.push_back({RTA_SRC, std::span(packet.source.bytes).first(bits / bits_of_byte)});
    }
    if (packet.mark != 0) add(RTA_MARK, packet.mark);
    if (packet.protocol == 0) return;
    add(RTA_IP_PROTO, packet.protocol);
    if (packet.source_port != 0) add(RTA_SPORT, htons(packet.source_port));
    if (packet.destination_port != 0) add(RTA_DPORT, htons(packet.destination_port));
  }

  void comes_by(std::uint32_t interface) { add(RTA_IIF, interface); }

  RouteAnswer ask() {
    auto answer = ask_once();
    const bool is_told = answer.number != 0 || answer.type != RTN_UNICAST || !answer.interfaces.empty();
    if (is_told) return answer;
    // Of a route by an object (ip-nexthop(8)) its number alone may be told: then the one that is taken now.
    header_.rtm_flags = 0;
    answer.interfaces = ask_once().interfaces;
    return answer;
  }

 private:
  RouteAnswer ask_once() const {
    RouteAnswer answer;
    const auto read = [&answer](const nlmsghdr& message) {
      const auto* const route = static_cast<const rtmsg*>(nlmsg_data(&message));
      if (message.nlmsg_type != RTM_NEWROUTE) return;
      const auto in = [&message](int type) { return bytes_in(message, sizeof(rtmsg), type); };
      answer.type = route->rtm_type;
      if (const auto interface = number_in(in(RTA_OIF)); interface != 0) answer.interfaces = {interface};
      answer.interfaces.merge(next_hops_in(in(RTA_MULTIPATH)));
      answer.length = route->rtm_dst_len;
      answer.is_on_link = in(RTA_GATEWAY).empty() && in(RTA_VIA).empty() && in(RTA_MULTIPATH).empty();
    };
    answer.number = ask_or_errno(RTM_GETROUTE, 0, std::as_bytes(std::span(&header_, 1)), attributes_, read);
    return answer;
  }

  template <typename Number>
  void add(int type, Number number) {
    auto& bytes = numbers_.emplace_back();
    std::memcpy(bytes.data(), &number, sizeof number);
    attributes_.push_back({type, std::span(bytes).first(sizeof number)});
  }

  rtmsg header_{};
  std::list<std::array<std::uint8_t, sizeof(std::uint32_t)>> numbers_;
  std::vector<Attribute> attributes_;
};

// net.ipv4.conf of an interface, by its number, or of all.
std::uint32_t setting_of(std::int32_t index, int setting) {
  std::array<std::uint8_t, sizeof index> index_bytes{};
  std::memcpy(index_bytes.data(), &index, sizeof index);
  netconfmsg header{};
  header.ncm_family = AF_INET;
  std::uint32_t value = 0;
  ask(RTM_GETNETCONF, 0, std::as_bytes(std::span(&header, 1)), {{NETCONFA_IFINDEX, index_bytes}},
      [&](const nlmsghdr& message) { value = number_in(bytes_in(message, sizeof(netconfmsg), setting)); });
  return value;
}

std::uint32_t reverse_path_filter_of(const std::string& interface) {
  const auto index = static_cast<std::int32_t>(::if_nametoindex(interface.c_str()));
  return std::max(setting_of(index, NETCONFA_RP_FILTER),
                  setting_of(NETCONFA_IFINDEX_ALL, NETCONFA_RP_FILTER));
}

}  // namespace

bool RouteAnswer::leads_on() const {
  return number == 0 && type != RTN_BLACKHOLE && type != RTN_UNREACHABLE && type != RTN_PROHIBIT;
}

RouteAnswer ask_for_route(const Packet& packet) {
  Question question(packet);
  if (!packet.in_interface.empty()) {
    const auto index = ::if_nametoindex(packet.in_interface.c_str());
    if (index == 0) return {.number = ENODEV};
    question.comes_by(index);
  }
  return question.ask();
}

std::string interface_of(const RouteAnswer& answer) {
  const auto names = interfaces_of(answer);
  return names.size() == 1 ? *names.begin() : "";
}

std::set<std::string> interfaces_of(const RouteAnswer& answer) {
  std::set<std::string> names;
  if (answer.number != 0 || answer.type != RTN_UNICAST) return names;
  for (const auto interface : answer.interfaces) {
    std::array<char, IF_NAMESIZE> name{};
    if (::if_indextoname(interface, name.data()) != nullptr) names.insert(name.data());
  }
  return names;
}

bool takes_to_forward(const std::string& interface, net::Family family) {
  if (family == net::Family::ipv6) return true;
  return setting_of(static_cast<std::int32_t>(::if_nametoindex(interface.c_str())), NETCONFA_FORWARDING) != 0;
}

bool asks_for_way_back(const std::string& interface, net::Family family) {
  return family == net::Family::ipv4 && reverse_path_filter_of(interface) != 0;
}

bool filters_by_reverse_path(const std::string& interface) {
  constexpr std::uint32_t strict = 1;
  return reverse_path_filter_of(interface) == strict;
}

}  // namespace ipmasq::routing
