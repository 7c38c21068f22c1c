// linux/netfilter/nfnetlink_conntrack.h
#include "netfilter/conntrack.hpp"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "error/error.hpp"
#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"

namespace ipmasq::netfilter {

namespace {

void put_address(nl_msg* message, int type, const net::Address& address) {
  nla_put(message, type, static_cast<int>(bytes_of(address.family)), address.bytes.data());
}

void put_tuple(nl_msg* message, const Connection& connection) {
  const bool is_ipv4 = connection.source.family == net::Family::ipv4;
  auto* const tuple = nla_nest_start(message, CTA_TUPLE_ORIG | NLA_F_NESTED);
  auto* const addresses = nla_nest_start(message, CTA_TUPLE_IP | NLA_F_NESTED);
  put_address(message, is_ipv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, connection.source);
  put_address(message, is_ipv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, connection.destination);
  nla_nest_end(message, addresses);

  auto* const protocol = nla_nest_start(message, CTA_TUPLE_PROTO | NLA_F_NESTED);
  if (connection.is_tcp) {
    nla_put_u8(message, CTA_PROTO_NUM, IPPROTO_TCP);
    nla_put_u16(message, CTA_PROTO_SRC_PORT, htons(connection.source_port));
    nla_put_u16(message, CTA_PROTO_DST_PORT, htons(connection.destination_port));
  } else {
    nla_put_u8(message, CTA_PROTO_NUM, is_ipv4 ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6});
    nla_put_u16(message, is_ipv4 ? CTA_PROTO_ICMP_ID : CTA_PROTO_ICMPV6_ID, htons(connection.source_port));
    nla_put_u8(message, is_ipv4 ? CTA_PROTO_ICMP_TYPE : CTA_PROTO_ICMPV6_TYPE,
               is_ipv4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST);
    nla_put_u8(message, is_ipv4 ? CTA_PROTO_ICMP_CODE : CTA_PROTO_ICMPV6_CODE, 0);
  }
  nla_nest_end(message, protocol);
  nla_nest_end(message, tuple);
}

std::optional<net::Address> address_in(const Attributes& tuple, net::Family family, int ipv4, int ipv6) {
  if (tuple[CTA_TUPLE_IP] == nullptr) return std::nullopt;
  const auto bytes = Attributes(tuple[CTA_TUPLE_IP]).bytes(family == net::Family::ipv4 ? ipv4 : ipv6);
  if (bytes.size() != bytes_of(family)) return std::nullopt;
  net::Address address{family, {}};
  std::ranges::copy(bytes, address.bytes.begin());
  return address;
}

}  // namespace

std::optional<Tracked> tracked(const Connection& connection) {
  const auto family = connection.source.family;
  std::optional<Tracked> found;
  const auto request = netfilter_message(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, 0,
                                         static_cast<int>(protocol_family(family)));
  put_tuple(request.get(), connection);
  try {
    NetfilterSocket().ask(request.get(), [&](const nlmsghdr& answer) {
      const Attributes attributes(answer);
      if (attributes[CTA_TUPLE_REPLY] == nullptr) return true;
      const auto seen =
          address_in(Attributes(attributes[CTA_TUPLE_REPLY]), family, CTA_IP_V4_DST, CTA_IP_V6_DST);
      const auto status = attributes.bytes(CTA_STATUS);  // four bytes of the network's order
      if (seen) found = Tracked{*seen, status.size() == 4 && (status[3] & IPS_SEEN_REPLY) != 0};
      return true;
    });
  } catch (const Error& error) {
    if (error.kind() != Kind::absent) throw;
  }
  return found;
}

namespace {

std::optional<PortUse> use_in(const nlmsghdr& answer, net::Family family) {
  const Attributes attributes(answer);
  if (attributes[CTA_TUPLE_ORIG] == nullptr || attributes[CTA_TUPLE_REPLY] == nullptr) return std::nullopt;
  const Attributes reply(attributes[CTA_TUPLE_REPLY]);
  const auto source =
      address_in(Attributes(attributes[CTA_TUPLE_ORIG]), family, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
  const auto seen = address_in(reply, family, CTA_IP_V4_DST, CTA_IP_V6_DST);
  const auto host = address_in(reply, family, CTA_IP_V4_SRC, CTA_IP_V6_SRC);
  if (!source || !seen || !host || *source == *seen || reply[CTA_TUPLE_PROTO] == nullptr) return std::nullopt;
  const Attributes protocol(reply[CTA_TUPLE_PROTO]);
  const auto number = protocol.bytes(CTA_PROTO_NUM);
  const auto port = protocol.bytes(CTA_PROTO_SRC_PORT);
  if (number.size() != 1 || port.size() != 2 || (number[0] != IPPROTO_TCP && number[0] != IPPROTO_UDP))
    return std::nullopt;
  return PortUse{number[0], *seen, *host, static_cast<std::uint16_t>((port[0] << 8) | port[1]), *source, 1};
}

}  // namespace

std::vector<PortUse> ports_in_use(std::uint64_t least) {
  std::vector<PortUse> found;
  for (const auto family : {net::Family::ipv4, net::Family::ipv6}) {
    std::map<std::tuple<std::uint8_t, net::Address, net::Address, std::uint16_t>, PortUse> uses;
    const auto request = netfilter_message(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, NLM_F_DUMP,
                                           static_cast<int>(protocol_family(family)));
    const auto visit = [&](const nlmsghdr& answer) {
      const auto use = use_in(answer, family);
      if (!use) return true;
      const auto [place, is_new] = uses.try_emplace({use->protocol, use->seen, use->host, use->port}, *use);
      if (!is_new) ++place->second.connections;
      return true;
    };
    NetfilterSocket().ask(request.get(), visit, [&uses] { uses.clear(); });
    for (const auto& [key, use] : uses) {
      if (use.connections >= least) found.push_back(use);
    }
  }
  return found;
}

}  // namespace ipmasq::netfilter
