// linux/netfilter/nfnetlink_conntrack.h
#include "netfilter/live_connections.hpp"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <optional>
#include <utility>

#include "netfilter/conntrack_tuple.hpp"
#include "netfilter/netlink.hpp"
#include "netfilter/nftables_layout.hpp"

namespace ipmasq::netfilter {

namespace {

std::vector<std::uint8_t> copy_of(const Attributes& attributes, int type) {
  const auto bytes = attributes.bytes(type);
  return {bytes.begin(), bytes.end()};
}

std::optional<LiveConnection> connection_in(const Attributes& attributes, net::Family family) {
  const auto way_there = tuple_in(attributes, CTA_TUPLE_ORIG, family);
  const auto way_back = tuple_in(attributes, CTA_TUPLE_REPLY, family);
  if (!way_there || !way_back) return std::nullopt;
  const auto status = attributes.bytes(CTA_STATUS);  // four bytes of the network's order
  const bool has_status = status.size() == 4 && (status[3] & IPS_DST_NAT) != 0;
  return LiveConnection{way_there->protocol, way_there->source, way_there->destination, way_back->destination,
                        has_status || way_back->source != way_there->destination};
}

ConnectionHandle handle_in(const Attributes& attributes, net::Family family) {
  return {family, copy_of(attributes, CTA_TUPLE_ORIG), copy_of(attributes, CTA_ID),
          copy_of(attributes, CTA_ZONE)};
}

Message request(int type, int flags, const ConnectionHandle& connection) {
  auto request = netfilter_message(NFNL_SUBSYS_CTNETLINK, type, flags,
                                   static_cast<int>(protocol_family(connection.family)));
  const auto put = [&request](int attribute, const std::vector<std::uint8_t>& bytes) {
    if (!bytes.empty()) nla_put(request.get(), attribute, static_cast<int>(bytes.size()), bytes.data());
  };
  put(CTA_TUPLE_ORIG | NLA_F_NESTED, connection.tuple);
  if (type == IPCTNL_MSG_CT_DELETE) put(CTA_ID, connection.id);
  put(CTA_ZONE, connection.zone);
  return request;
}

}  // namespace

std::vector<ConnectionHandle> live_connections(
    net::Family family, std::size_t most, const std::function<bool(const LiveConnection&)>& is_asked_for) {
  std::vector<ConnectionHandle> found;
  const auto request = netfilter_message(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET, NLM_F_DUMP,
                                         static_cast<int>(protocol_family(family)));
  const auto visit = [&](const nlmsghdr& answer) {
    const Attributes attributes(answer);
    const auto connection = connection_in(attributes, family);
    if (connection && is_asked_for(*connection)) found.push_back(handle_in(attributes, family));
    return found.size() < most;
  };
  NetfilterSocket().ask(request.get(), visit, [&found] { found.clear(); });
  return found;
}

std::size_t end_connections(const std::vector<ConnectionHandle>& connections) {
  if (connections.empty()) return 0;
  std::size_t ended = 0;
  NetfilterSocket socket;
  for (const auto& connection : connections) {
    if (connection.tuple.empty()) continue;  // the kernel would end all
    const auto end = request(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, connection);
    if (socket.ask(end.get(), [](const nlmsghdr&) { return true; })) ++ended;
  }
  return ended;
}

// The kernel finds a connection by the addresses of either direction.
Successors successors_of(const std::vector<ConnectionHandle>& ended) {
  Successors found;
  if (ended.empty()) return found;
  NetfilterSocket socket;
  for (const auto& connection : ended) {
    bool is_there = false;
    const auto visit = [&](const nlmsghdr& answer) {
      is_there = true;
      auto its = handle_in(Attributes(answer), connection.family);
      if (its.tuple != connection.tuple) found.of_other_side.push_back(std::move(its));
      return true;
    };
    socket.ask(request(IPCTNL_MSG_CT_GET, NLM_F_ACK, connection).get(), visit);
    if (!is_there) ++found.missing;
  }
  return found;
}

}  // namespace ipmasq::netfilter
