#include "routing/refusal.hpp"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "error/error.hpp"
#include "routing/learned_routes.hpp"
#include "routing/policy_rules.hpp"
#include "routing/rtnetlink.hpp"

namespace ipmasq::routing {

namespace {

// What the kernel answers with for each kind (fib_props of net/ipv4/fib_semantics.c, fib4_rule_action and
// fib6_rule_action); a route of IPv6 comes as it is, with its type.
struct Refusing {
  const char* type;
  unsigned char route;
  int rule;
  std::array<int, 2> numbers;
};
constexpr std::array<Refusing, 3> all_refusing{
    {{"blackhole", RTN_BLACKHOLE, FR_ACT_BLACKHOLE, {EINVAL, EINVAL}},
     {"unreachable", RTN_UNREACHABLE, FR_ACT_UNREACHABLE, {EHOSTUNREACH, ENETUNREACH}},
     {"prohibit", RTN_PROHIBIT, FR_ACT_PROHIBIT, {EACCES, EACCES}}}};

// What the kernel says of a route.
struct Answer {
  int number = 0;                   // of an error
  unsigned char type = RTN_UNSPEC;  // of the route that it found
};

Answer ask_for_route(const net::Address& destination, const std::vector<Attribute>& of_packet) {
  const auto bits = net::bits(destination.family);
  rtmsg question{};
  question.rtm_family = destination.family == net::Family::ipv4 ? AF_INET : AF_INET6;
  question.rtm_dst_len = static_cast<unsigned char>(bits);
  question.rtm_src_len = of_packet.empty() ? 0 : question.rtm_dst_len;
  std::vector<Attribute> attributes{{RTA_DST, std::span(destination.bytes).first(bits / 8)}};
  attributes.insert(attributes.end(), of_packet.begin(), of_packet.end());
  Answer answer;
  answer.number = ask_or_errno(RTM_GETROUTE, 0, std::as_bytes(std::span(&question, 1)), attributes,
                               [&answer](const nlmsghdr& message) {
                                 answer.type = static_cast<const rtmsg*>(nlmsg_data(&message))->rtm_type;
                               });
  return answer;
}

const Refusing* refusing_in(const Answer& answer) {
  const auto is_it = [&answer](const Refusing& each) {
    return answer.number == 0 ? answer.type == each.route
                              : std::ranges::find(each.numbers, answer.number) != each.numbers.end();
  };
  const auto* const found = std::ranges::find_if(all_refusing, is_it);
  return found == all_refusing.end() ? nullptr : found;
}

std::string text_of(const PolicyRule& rule, const char* type) {
  return (rule.is_inverted ? "not from " : "from ") + (rule.source ? net::to_text(*rule.source) : "all") +
         (rule.destination ? " to " + net::to_text(*rule.destination) : "") +
         (rule.in_interface.empty() ? "" : " iif " + rule.in_interface) + " " + type;
}

Refusal refusal_by(const PolicyRule& rule, const char* type, net::Family family) {
  const auto priority = std::to_string(rule.priority);
  const std::string program = family == net::Family::ipv4 ? "ip" : "ip -6";
  return {program + " rule " + priority + ": " + text_of(rule, type),
          program + " rule del priority " + priority + " " + text_of(rule, type)};
}

Refusal refusal_by(const RefusingRoute& route) {
  const std::string program = route.destination.family() == net::Family::ipv4 ? "ip" : "ip -6";
  const auto text = route.type + " " + net::to_text(route.destination) +
                    (route.table == RT_TABLE_MAIN ? "" : " table " + std::to_string(route.table));
  return {program + " route: " + text, program + " route del " + text, route};
}

std::optional<Refusal> by_route(const net::Address& destination, const char* type) {
  std::optional<RefusingRoute> longest;
  for (const auto& each : refusing_routes(destination.family)) {
    if (each.type == type && each.destination.contains(destination) &&
        (!longest || longest->destination.length < each.destination.length))
      longest = each;
  }
  return longest ? std::optional(refusal_by(*longest)) : std::nullopt;
}

}  // namespace

std::optional<Refusal> refusal_of(const net::Address& destination, const net::Address& source,
                                  const std::string& in_interface) {
  const auto index = ::if_nametoindex(in_interface.c_str());
  std::array<std::uint8_t, sizeof index> index_bytes{};
  std::memcpy(index_bytes.data(), &index, sizeof index);
  try {
    const auto rules = rules_that_may_be_for(destination, source, in_interface);
    if (index == 0 || std::ranges::any_of(rules, &PolicyRule::asks_for_more)) return std::nullopt;
    const auto source_bytes = std::span(source.bytes).first(net::bits(source.family) / 8);
    const auto answer = ask_for_route(destination, {{RTA_SRC, source_bytes}, {RTA_IIF, index_bytes}});
    const auto* const refusing = refusing_in(answer);
    if (refusing == nullptr) return std::nullopt;
    const auto rule = std::ranges::find(rules, refusing->rule, &PolicyRule::action);
    if (rule != rules.end()) return refusal_by(*rule, refusing->type, destination.family);
    if (answer.number == ENETUNREACH) return Refusal{};  // a route that is unreachable is EHOSTUNREACH
    return by_route(destination, refusing->type);
  } catch (const Error&) {  // as where rp_filter would drop them
    return std::nullopt;
  }
}

bool has_way_to(const net::Address& destination) {
  const auto answer = ask_for_route(destination, {});
  return answer.number == 0 && refusing_in(answer) == nullptr;
}

std::vector<RefusingRoute> refusing_routes(net::Family family) {
  std::vector<RefusingRoute> found;
  for (const auto& route : routes(family)) {
    const auto* const refusing = std::ranges::find(all_refusing, route.type, &Refusing::route);
    if (refusing != all_refusing.end() && !route.is_the_kernels)
      found.push_back({route.destination, refusing->type, route.table});
  }
  return found;
}

}  // namespace ipmasq::routing
