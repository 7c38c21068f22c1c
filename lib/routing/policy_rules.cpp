#include "routing/policy_rules.hpp"

#include <linux/fib_rules.h>

#include <algorithm>
#include <array>
#include <span>

#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

std::optional<net::Prefix> prefix_in(const nlmsghdr& message, int type, unsigned length, net::Family family) {
  const auto bytes = bytes_in(message, sizeof(fib_rule_hdr), type);
  net::Address network{family, {}};
  if (bytes.empty() || bytes.size() > network.bytes.size()) return std::nullopt;
  std::ranges::copy(bytes, network.bytes.begin());
  return net::network_of(network, length);
}

PolicyRule rule_in(const nlmsghdr& message, net::Family family) {
  const auto* const header = static_cast<const fib_rule_hdr*>(nlmsg_data(&message));
  const auto has = [&message](int type) { return !bytes_in(message, sizeof *header, type).empty(); };
  constexpr std::array more{FRA_FWMASK, FRA_IP_PROTO, FRA_SPORT_RANGE, FRA_DPORT_RANGE, FRA_TUN_ID};
  return {.priority = number_in(bytes_in(message, sizeof *header, FRA_PRIORITY)),
          .action = header->action,
          .source = prefix_in(message, FRA_SRC, header->src_len, family),
          .destination = prefix_in(message, FRA_DST, header->dst_len, family),
          .in_interface = text_in(bytes_in(message, sizeof *header, FRA_IIFNAME)),
          .is_inverted = (header->flags & FIB_RULE_INVERT) != 0,
          .asks_for_more = header->tos != 0 || std::ranges::any_of(more, has)};
}

// What is forwarded has no way out yet when rules are asked.
bool names_way_out(const nlmsghdr& message) {
  return !bytes_in(message, sizeof(fib_rule_hdr), FRA_OIFNAME).empty();
}

bool may_be_for(const PolicyRule& rule, const net::Address& destination, const net::Address& source,
                const std::string& in_interface) {
  const auto holds = [](const std::optional<net::Prefix>& prefix, const net::Address& address) {
    return !prefix || prefix->contains(address);
  };
  return rule.is_inverted || ((rule.in_interface.empty() || rule.in_interface == in_interface) &&
                              holds(rule.source, source) && holds(rule.destination, destination));
}

}  // namespace

std::vector<PolicyRule> rules_that_may_be_for(const net::Address& destination, const net::Address& source,
                                              const std::string& in_interface) {
  fib_rule_hdr every{};
  every.family = destination.family == net::Family::ipv4 ? AF_INET : AF_INET6;
  std::vector<PolicyRule> rules;
  ask(RTM_GETRULE, NLM_F_DUMP, std::as_bytes(std::span(&every, 1)), {}, [&](const nlmsghdr& message) {
    auto rule = rule_in(message, destination.family);
    if (!names_way_out(message) && may_be_for(rule, destination, source, in_interface))
      rules.push_back(std::move(rule));
  });
  std::ranges::stable_sort(rules, {}, &PolicyRule::priority);
  return rules;
}

}  // namespace ipmasq::routing
