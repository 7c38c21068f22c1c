#include "plugin/ways/pod_marks.hpp"

#include <netinet/in.h>

#include <cstdint>

#include "doctor/flows.hpp"
#include "nat/walk.hpp"
#include "routing/node_addresses.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

routing::Marks mark_of(const nat::Flow& flow, const nat::Foreign& foreign) {
  const nat::OurPlace nowhere;
  const auto mark = nat::Walk(foreign, nowhere, flow).mark_at_routing();
  return {mark.value, mark.unknown};
}

bool is_open(const routing::Marks& marks, std::uint32_t asked_for) {
  return (marks.unknown & asked_for) != 0;
}

}  // namespace

routing::MarksByProtocol marks_of(const nat::Flow& flow, const routing::PolicyRouting& routing,
                                  const nat::Foreign& foreign) {
  const auto bits = routing.mark_bits();
  if (bits == 0) return {};
  const auto whatever = mark_of(flow, foreign);
  if (!is_open(whatever, bits)) return {whatever, whatever};
  auto of_protocol = flow;
  of_protocol.protocol = IPPROTO_TCP;
  const auto tcp = mark_of(of_protocol, foreign);
  of_protocol.protocol = IPPROTO_UDP;
  return {tcp, mark_of(of_protocol, foreign)};
}

PodMarks::PodMarks(const routing::PolicyRouting& routing, const nat::Foreign& foreign)
    : routing_(routing), foreign_(foreign) {
  for (const auto& each : routing::node_addresses()) node_addresses_.insert(each);
}

routing::MarksByProtocol PodMarks::of(const doctor::PodWay& way, const net::Address& pod,
                                      const net::Prefix& other, Direction direction) {
  const auto bits = routing_.mark_bits();
  if (bits == 0) return {};
  auto flow = doctor::flow_on(way, node_addresses_);
  const auto directed = [direction](const nat::Flow& each) {
    return direction == Direction::sent ? each : nat::answer_to(each);
  };
  const auto [known, is_new] =
      of_all_.try_emplace({direction, {way.pod_interface, way.pod_devices, way.uplink}});
  if (is_new) known->second = mark_of(directed(flow), foreign_);
  if (!is_open(known->second, bits)) return {known->second, known->second};
  const auto of_host = net::bits(pod.family);
  flow.sources = {net::network_of(pod, of_host)};
  if (other.length == of_host) {
    flow.destination = other.address;
  } else {
    flow.destinations = {other};
  }
  return marks_of(directed(flow), routing_, foreign_);
}

routing::MarksByProtocol PodMarks::sent(const doctor::PodWay& way, const net::Address& pod,
                                        const net::Prefix& to) {
  auto anywhere = way;
  anywhere.uplink.reset();
  anywhere.uplink_devices.clear();
  return of(anywhere, pod, to, Direction::sent);
}

routing::MarksByProtocol PodMarks::answers(const doctor::PodWay& way, const net::Address& pod,
                                           const net::Prefix& from, const std::string& uplink) {
  if (routing_.mark_bits() == 0) return {};
  auto by_uplink = way;
  by_uplink.uplink = uplink;
  const auto [known, is_new] = devices_of_.try_emplace(uplink);
  if (is_new) known->second = routing::devices_of(uplink);
  by_uplink.uplink_devices = known->second;
  return of(by_uplink, pod, from, Direction::answers);
}

}  // namespace ipmasq::plugin
