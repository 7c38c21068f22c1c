#include "routing/policy_rules.hpp"

#include <linux/fib_rules.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <span>

#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

std::span<const std::uint8_t> attribute(const nlmsghdr& message, int type) {
  return bytes_in(message, sizeof(fib_rule_hdr), type);
}

std::optional<net::Prefix> prefix_in(const nlmsghdr& message, int type, unsigned length, net::Family family) {
  const auto bytes = attribute(message, type);
  net::Address network{family, {}};
  if (bytes.empty() || bytes.size() > network.bytes.size()) return std::nullopt;
  std::ranges::copy(bytes, network.bytes.begin());
  return net::network_of(network, length);
}

std::optional<PortRange> ports_in(const nlmsghdr& message, int type) {
  fib_rule_port_range range{};
  const auto bytes = attribute(message, type);
  if (bytes.size() != sizeof range) return std::nullopt;
  std::memcpy(&range, bytes.data(), sizeof range);
  return PortRange{range.start, range.end};
}

// What is forwarded has no way out yet when rules are asked, and is root's.
bool is_for_others(const nlmsghdr& message) {
  constexpr std::array others{FRA_OIFNAME, FRA_TUN_ID, FRA_L3MDEV};
  const auto has = [&message](int type) { return !attribute(message, type).empty(); };
  if (std::ranges::any_of(others, has)) return true;
  fib_rule_uid_range users{};
  const auto bytes = attribute(message, FRA_UID_RANGE);
  if (bytes.size() == sizeof users) std::memcpy(&users, bytes.data(), sizeof users);
  return users.start > 0;
}

PolicyRule rule_in(const nlmsghdr& message, net::Family family) {
  const auto* const header = static_cast<const fib_rule_hdr*>(nlmsg_data(&message));
  const auto number = [&message](int type) { return number_in(attribute(message, type)); };
  const auto table = number(FRA_TABLE);
  const auto protocol = attribute(message, FRA_IP_PROTO);
  const auto suppressed = attribute(message, FRA_SUPPRESS_PREFIXLEN);
  return {.priority = number(FRA_PRIORITY),
          .action = header->action,
          .table = table != 0 ? table : header->table,
          .jump_to = number(FRA_GOTO),
          .source = prefix_in(message, FRA_SRC, header->src_len, family),
          .destination = prefix_in(message, FRA_DST, header->dst_len, family),
          .in_interface = text_in(attribute(message, FRA_IIFNAME)),
          .mark = number(FRA_FWMARK),
          .mark_mask = number(FRA_FWMASK),
          .protocol = protocol.empty() ? std::uint8_t{0} : protocol.front(),
          .source_ports = ports_in(message, FRA_SPORT_RANGE),
          .destination_ports = ports_in(message, FRA_DPORT_RANGE),
          .tos = header->tos,
          .is_for_others = is_for_others(message),
          .is_inverted = (header->flags & FIB_RULE_INVERT) != 0,
          .suppressed_length = suppressed.empty() ? -1 : static_cast<int>(number_in(suppressed))};
}

bool is_in(const std::optional<net::Prefix>& prefix, const net::Address& address) {
  return !prefix || prefix->contains(address);
}

bool is_in(const std::optional<PortRange>& range, std::uint16_t port) {
  return !range || (range->first <= port && port <= range->last);
}

std::string hexadecimal(std::uint32_t number) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "0x%x", number);  // NOLINT(cert-err33-c): it fits
  return text.data();
}

std::string name_of(std::uint8_t protocol) {
  if (protocol == IPPROTO_TCP) return "tcp";
  if (protocol == IPPROTO_UDP) return "udp";
  return std::to_string(protocol);
}

std::string to_text(const PortRange& range) {
  const auto first = std::to_string(range.first);
  return range.first == range.last ? first : first + "-" + std::to_string(range.last);
}

}  // namespace

bool PolicyRule::asks_for_kind() const {
  return mark_mask != 0 || protocol != 0 || source_ports || destination_ports || tos != 0;
}

bool PolicyRule::holds(const Packet& packet) const {
  const bool is_from_there =
      in_interface.empty() || in_interface == (packet.in_interface.empty() ? "lo" : packet.in_interface);
  const bool is_of_kind = ((mark ^ packet.mark) & mark_mask) == 0 && (tos == 0 || tos == packet.tos) &&
                          (protocol == 0 || protocol == packet.protocol) &&
                          is_in(source_ports, packet.source_port) &&
                          is_in(destination_ports, packet.destination_port);
  const bool is_asked_for = !is_for_others && is_from_there && is_in(source, packet.source) &&
                            is_in(destination, packet.destination) && is_of_kind;
  return is_asked_for != is_inverted;
}

std::string to_text(const PolicyRule& rule) {
  std::string text = rule.is_inverted ? "not from " : "from ";
  text += rule.source ? net::to_text(*rule.source) : "all";
  if (rule.destination) text += " to " + net::to_text(*rule.destination);
  if (rule.tos != 0) text += " tos " + hexadecimal(rule.tos);
  if (rule.mark_mask != 0) text += " fwmark " + hexadecimal(rule.mark) + "/" + hexadecimal(rule.mark_mask);
  if (!rule.in_interface.empty()) text += " iif " + rule.in_interface;
  if (rule.protocol != 0) text += " ipproto " + name_of(rule.protocol);
  if (rule.source_ports) text += " sport " + to_text(*rule.source_ports);
  if (rule.destination_ports) text += " dport " + to_text(*rule.destination_ports);
  return text;
}

std::vector<PolicyRule> policy_rules(net::Family family) {
  fib_rule_hdr every{};
  every.family = family == net::Family::ipv4 ? AF_INET : AF_INET6;
  std::vector<PolicyRule> rules;
  ask(RTM_GETRULE, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {},
      [&](const nlmsghdr& message) { rules.push_back(rule_in(message, family)); });
  std::ranges::stable_sort(rules, {}, &PolicyRule::priority);
  return rules;
}

}  // namespace ipmasq::routing
