#include "routing/kinds.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <optional>
#include <set>

namespace ipmasq::routing {

namespace {

constexpr std::size_t most_special = 64;

bool may_be_for(PolicyRule rule, const Packet& packet) {
  if (rule.is_inverted) return true;
  rule.mark_mask = 0;
  rule.protocol = 0;
  rule.tos = 0;
  rule.source_ports.reset();
  rule.destination_ports.reset();
  return rule.holds(packet);
}

bool asks_for_protocol(const PolicyRule& rule) {
  return rule.protocol != 0 || rule.source_ports || rule.destination_ports;
}

// From `first` on; that one where each is named.
std::uint16_t unnamed_port(const std::vector<PolicyRule>& rules, std::optional<PortRange> PolicyRule::*ports,
                           PortRange among) {
  for (unsigned port = among.first; port <= among.last; ++port) {
    const auto names = [&](const PolicyRule& rule) {
      const auto& range = rule.*ports;
      return range && range->first <= port && port <= range->last;
    };
    if (std::ranges::none_of(rules, names)) return static_cast<std::uint16_t>(port);
  }
  return among.first;
}

// Bits that are not known are 0, or as a rule asks for them.
std::set<std::uint32_t> marks_of(const std::vector<PolicyRule>& rules, const Marks& marks) {
  const auto known = marks.value & ~marks.unknown;
  std::set<std::uint32_t> found{known};
  for (const auto& rule : rules) {
    const bool may_have = ((rule.mark ^ known) & rule.mark_mask & ~marks.unknown) == 0;
    if (may_have) found.insert(known | (rule.mark & rule.mark_mask & marks.unknown));
    if (found.size() >= most_special) break;
  }
  return found;
}

}  // namespace

Kinds kinds_of(const std::vector<PolicyRule>& rules, const Asked& asked) {
  constexpr PortRange of_clients{32768, 60999};  // net.ipv4.ip_local_port_range
  constexpr PortRange of_servers{1024, 65535};
  Packet plain{.source = asked.source, .destination = asked.destination, .in_interface = asked.in_interface};
  std::vector<PolicyRule> asking;
  std::ranges::copy_if(rules, std::back_inserter(asking), [&plain](const PolicyRule& rule) {
    return rule.asks_for_kind() && may_be_for(rule, plain);
  });
  plain.source_port = unnamed_port(asking, &PolicyRule::source_ports, of_clients);
  plain.destination_port = unnamed_port(asking, &PolicyRule::destination_ports, of_servers);
  const auto marks = marks_of(asking, asked.marks.tcp);
  const auto marks_of_udp = marks_of(asking, asked.marks.udp);
  plain.mark = *marks.begin();
  const bool are_protocols_apart = marks != marks_of_udp || std::ranges::any_of(asking, asks_for_protocol);
  if (!are_protocols_apart) plain.source_port = plain.destination_port = 0;

  Kinds kinds;
  for (const auto protocol : are_protocols_apart ? std::vector<std::uint8_t>{IPPROTO_TCP, IPPROTO_UDP}
                                                 : std::vector<std::uint8_t>{0}) {
    auto& of_protocol = kinds.ordinary.emplace_back();
    for (const auto mark : protocol == IPPROTO_UDP ? marks_of_udp : marks) {
      of_protocol.push_back(plain);
      of_protocol.back().protocol = protocol;
      of_protocol.back().mark = mark;
    }
  }
  for (const auto& rule : asking) {
    if (!asks_for_protocol(rule) && rule.tos == 0) continue;
    auto packet = plain;
    packet.protocol = rule.protocol != 0 ? rule.protocol : are_protocols_apart ? IPPROTO_TCP : 0;
    packet.tos = rule.tos;
    if (packet.protocol == IPPROTO_UDP) packet.mark = *marks_of_udp.begin();
    if (rule.source_ports) packet.source_port = rule.source_ports->first;
    if (rule.destination_ports) packet.destination_port = rule.destination_ports->first;
    if (std::ranges::find(kinds.special, packet) != kinds.special.end()) continue;
    kinds.are_all = kinds.special.size() < most_special;
    if (!kinds.are_all) break;
    kinds.special.push_back(packet);
  }
  return kinds;
}

}  // namespace ipmasq::routing
