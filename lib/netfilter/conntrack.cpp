// linux/netfilter/nfnetlink_conntrack.h
#include "netfilter/conntrack.hpp"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include <map>
#include <tuple>

#include "error/error.hpp"
#include "netfilter/conntrack_tuple.hpp"
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
      const auto reply = tuple_in(attributes, CTA_TUPLE_REPLY, family);
      const auto status = attributes.bytes(CTA_STATUS);  // four bytes of the network's order
      if (reply) found = Tracked{reply->destination, status.size() == 4 && (status[3] & IPS_SEEN_REPLY) != 0};
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
  const auto way_there = tuple_in(attributes, CTA_TUPLE_ORIG, family);
  const auto way_back = tuple_in(attributes, CTA_TUPLE_REPLY, family);
  if (!way_there || !way_back || way_there->source == way_back->destination) return std::nullopt;
  const auto protocol = way_back->protocol;
  if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP) return std::nullopt;
  return PortUse{protocol, way_back->destination, way_back->source, way_back->source_port, way_there->source,
                 1};
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
