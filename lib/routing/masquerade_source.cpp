#include "routing/masquerade_source.hpp"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

constexpr unsigned bits_a_byte = 8;

unsigned char family_of(net::Family family) {
  return family == net::Family::ipv4 ? AF_INET : AF_INET6;
}

std::span<const std::uint8_t> bytes_of(const net::Address& address) {
  return std::span(address.bytes).first(net::bits(address.family) / bits_a_byte);
}

std::optional<net::Address> address_in(std::span<const std::uint8_t> bytes, net::Family family) {
  if (bytes.size() != net::bits(family) / bits_a_byte) return std::nullopt;
  net::Address address{.family = family};
  std::ranges::copy(bytes, address.bytes.begin());
  return address;
}

// In the kernel's order.
std::vector<CandidateAddress> candidates_of(unsigned interface, net::Family family) {
  std::vector<CandidateAddress> candidates;
  ifaddrmsg question{};
  question.ifa_family = family_of(family);
  ask(RTM_GETADDR, NLM_F_DUMP, std::as_bytes(std::span(&question, 1)), {}, [&](const nlmsghdr& message) {
    const auto* const header = static_cast<const ifaddrmsg*>(nlmsg_data(&message));
    if (message.nlmsg_type != RTM_NEWADDR || header->ifa_index != interface ||
        header->ifa_family != question.ifa_family)
      return;
    const auto in = [&message](int type) { return bytes_in(message, sizeof(ifaddrmsg), type); };
    const auto network = address_in(in(IFA_ADDRESS), family);
    if (!network) return;
    const auto flags = in(IFA_FLAGS);
    candidates.push_back({.address = address_in(in(IFA_LOCAL), family).value_or(*network),
                          .network = net::network_of(*network, header->ifa_prefixlen),
                          .flags = flags.empty() ? header->ifa_flags : number_in(flags),
                          .scope = header->ifa_scope});
  });
  return candidates;
}

// The route that is taken, or, with RTM_F_FIB_MATCH, the one that stands in the table.
struct Route {
  bool is_there = false;
  bool has_several_ways = false;
  std::optional<net::Address> gateway = {};
  std::optional<net::Address> preferred_source = {};
};

Route ask_for(const net::Address& destination, const std::vector<Attribute>& others, unsigned flags) {
  rtmsg header{};
  header.rtm_family = family_of(destination.family);
  header.rtm_dst_len = static_cast<unsigned char>(net::bits(destination.family));
  header.rtm_flags = flags;
  std::vector<Attribute> attributes{{RTA_DST, bytes_of(destination)}};
  for (const auto& each : others) {
    if (each.type == RTA_SRC) header.rtm_src_len = header.rtm_dst_len;
    attributes.push_back(each);
  }
  Route route;
  const auto read = [&](const nlmsghdr& message) {
    if (message.nlmsg_type != RTM_NEWROUTE) return;
    const auto in = [&message](int type) { return bytes_in(message, sizeof(rtmsg), type); };
    route = {.is_there = true,
             .has_several_ways = !in(RTA_MULTIPATH).empty() || !in(RTA_NH_ID).empty(),
             .gateway = address_in(in(RTA_GATEWAY), destination.family),
             .preferred_source = address_in(in(RTA_PREFSRC), destination.family)};
  };
  ask_or_errno(RTM_GETROUTE, 0, std::as_bytes(std::span(&header, 1)), attributes, read);
  return route;
}

std::array<std::uint8_t, sizeof(std::uint32_t)> bytes_of(std::uint32_t number) {
  std::array<std::uint8_t, sizeof number> bytes{};
  std::memcpy(bytes.data(), &number, sizeof number);
  return bytes;
}

std::optional<net::Address> source_of_ipv4(const Packet& packet,
                                           const std::vector<CandidateAddress>& candidates) {
  const auto first = masquerade_source_of(candidates, packet.destination);
  const auto in_interface = bytes_of(::if_nametoindex(packet.in_interface.c_str()));
  const auto mark = bytes_of(packet.mark);
  const std::vector<Attribute> question{
      {RTA_SRC, bytes_of(packet.source)}, {RTA_IIF, in_interface}, {RTA_MARK, mark}};
  if (ask_for(packet.destination, question, RTM_F_FIB_MATCH).has_several_ways) {
    const bool is_same_by_all = std::ranges::all_of(candidates, [&](const CandidateAddress& each) {
      return masquerade_source_of(candidates, each.network.address) == first;
    });
    return is_same_by_all ? first : std::nullopt;
  }
  const auto route = ask_for(packet.destination, question, 0);
  return route.is_there ? masquerade_source_of(candidates, route.gateway.value_or(packet.destination))
                        : std::nullopt;
}

// ipv6_dev_get_saddr: the kernel itself is asked, unless its answer could be what a route's `src` names.
std::optional<net::Address> source_of_ipv6(const Packet& packet, unsigned interface,
                                           std::vector<CandidateAddress> candidates) {
  constexpr std::uint32_t not_usable = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
  std::erase_if(candidates, [](const CandidateAddress& each) {
    return each.scope != RT_SCOPE_UNIVERSE || (each.flags & not_usable) != 0;
  });
  if (candidates.size() == 1) return candidates.front().address;
  const auto out_interface = bytes_of(interface);
  const std::vector<Attribute> question{{RTA_OIF, out_interface}};
  if (ask_for(packet.destination, question, RTM_F_FIB_MATCH).preferred_source) return std::nullopt;
  const auto source = ask_for(packet.destination, question, 0).preferred_source;
  const bool is_of_interface =
      source && std::ranges::find(candidates, *source, &CandidateAddress::address) != candidates.end();
  return is_of_interface ? source : std::nullopt;
}

}  // namespace

std::optional<net::Address> masquerade_source_of(const std::vector<CandidateAddress>& candidates,
                                                 const net::Address& next_hop) {
  std::optional<net::Address> first;
  for (const auto& each : candidates) {
    if ((each.flags & IFA_F_SECONDARY) != 0 || each.scope != RT_SCOPE_UNIVERSE) continue;
    if (each.network.contains(next_hop)) return each.address;
    if (!first) first = each.address;
  }
  return first;
}

std::optional<net::Address> masquerade_source(const Packet& packet, const std::string& interface) {
  const unsigned index = ::if_nametoindex(interface.c_str());
  if (index == 0) return std::nullopt;
  const auto family = packet.destination.family;
  auto candidates = candidates_of(index, family);
  return family == net::Family::ipv4 ? source_of_ipv4(packet, candidates)
                                     : source_of_ipv6(packet, index, std::move(candidates));
}

}  // namespace ipmasq::routing
