#include "routing/refusal.hpp"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <utility>

#include "error/error.hpp"
#include "routing/learned_routes.hpp"
#include "routing/node_addresses.hpp"
#include "routing/route_question.hpp"

namespace ipmasq::routing {

namespace {

// What the kernel answers with for each kind (fib_props of net/ipv4/fib_semantics.c, fib4_rule_action and
// fib6_rule_action); a route of IPv6 comes as it is, with its type. A route of type throw ends its table.
struct Refusing {
  const char* type;
  unsigned char route;
  int rule;
  std::array<int, 2> numbers;
};
constexpr std::array<Refusing, 5> all_refusing{
    {{"blackhole", RTN_BLACKHOLE, FR_ACT_BLACKHOLE, {EINVAL, EINVAL}},
     {"unreachable", RTN_UNREACHABLE, FR_ACT_UNREACHABLE, {EHOSTUNREACH, ENETUNREACH}},
     {"prohibit", RTN_PROHIBIT, FR_ACT_PROHIBIT, {EACCES, EACCES}},
     {"local", RTN_LOCAL, -1, {0, 0}},
     {"throw", RTN_THROW, -1, {ENETUNREACH, ENETUNREACH}}}};

const Refusing* refusing_route(unsigned char type) {
  const auto* const found = std::ranges::find(all_refusing, type, &Refusing::route);
  return found == all_refusing.end() ? nullptr : found;
}

const Refusing* refusing_in(const Decision& decision) {
  if (decision.rule == nullptr) return nullptr;
  if (decision.route != nullptr) return refusing_route(decision.route->type);
  const auto* const found = std::ranges::find(all_refusing, decision.rule->action, &Refusing::rule);
  return found == all_refusing.end() ? nullptr : found;
}

bool is_answer_of(const Refusing& refusing, const RouteAnswer& answer) {
  return answer.number == 0 ? answer.type == refusing.route
                            : std::ranges::find(refusing.numbers, answer.number) != refusing.numbers.end();
}

std::string program(net::Family family) {
  return family == net::Family::ipv4 ? "ip" : "ip -6";
}

// Names of interfaces can be anything but words of a shell.
bool is_plain(const std::string& name) {
  constexpr auto plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:@";
  return name.find_first_not_of(plain) == std::string::npos;
}

std::string table_text(std::uint32_t table) {
  return table == RT_TABLE_MAIN      ? "main"
         : table == RT_TABLE_DEFAULT ? "default"
         : table == RT_TABLE_LOCAL   ? "local"
                                     : std::to_string(table);
}

std::string text_of(const PolicyRule& rule, const std::string& action, net::Family family) {
  return program(family) + " rule " + std::to_string(rule.priority) + ": " + to_text(rule) + " " + action;
}

std::string leading_text(const PolicyRule& rule, net::Family family) {
  return text_of(rule, "lookup " + table_text(rule.table), family);
}

std::vector<net::Prefix> addresses_of(const PolicyRule& rule) {
  std::vector<net::Prefix> found;
  for (const auto& each : {rule.source, rule.destination}) {
    if (each && each->length > 0) found.push_back(*each);
  }
  return found;
}

Refusal refusal_by(const PolicyRule& rule, const std::string& type, net::Family family) {
  const auto removal = program(family) + " rule del priority " + std::to_string(rule.priority) + " " +
                       to_text(rule) + " " + type;
  return {.by = text_of(rule, type, family),
          .removal = is_plain(rule.in_interface) ? removal : "",
          .about = addresses_of(rule),
          .is_by_mark = rule.mark_mask != 0};
}

// A route by an object has no type of its own.
Refusal refusal_by(const PolicyRule& rule, const RefusingRoute& route) {
  const auto family = route.destination.family();
  const auto to = net::to_text(route.destination);
  const auto more = (route.nexthop == 0 ? "" : " nhid " + std::to_string(route.nexthop)) +
                    (route.table == RT_TABLE_MAIN ? "" : " table " + table_text(route.table));
  return {
      .by = program(family) + " route: " + route.type + " " + to + more +
            (rule.asks_for_kind() ? " (" + leading_text(rule, family) + ")" : ""),
      .removal = program(family) + " route del " + (route.nexthop == 0 ? route.type + " " : "") + to + more,
      .about = {route.destination},
      .route = route,
      .is_by_mark = rule.mark_mask != 0};
}

// The kernel's own route for an address that an interface has.
Refusal refusal_by_address(const KernelRoute& route) {
  const auto address = route.destination.address;
  for (const auto& [interface, network] : networks_by_interface()) {
    if (::if_nametoindex(interface.c_str()) != route.interface || !network.contains(address)) continue;
    const auto text = net::to_text(net::InterfaceAddress{address, network.length}) + " dev " + interface;
    const auto removal =
        is_plain(interface) ? program(address.family) + " address del " + text : std::string();
    return {.by = program(address.family) + " address: " + text,
            .removal = removal,
            .about = {route.destination},
            .route = RefusingRoute{route.destination, "local", route.table}};
  }
  return {.by = program(address.family) + " address: " + net::to_text(address),
          .about = {route.destination},
          .route = RefusingRoute{route.destination, "local", route.table}};
}

// What another route of the same table would lead.
Refusal refusal_by_what_leaves(const PolicyRule& rule, const KernelRoute& route) {
  const auto family = route.destination.family();
  if (route.type == RTN_THROW)
    return refusal_by(rule, {route.destination, "throw", route.table, route.nexthop});
  const auto lookup = "lookup " + table_text(rule.table) + " suppress_prefixlength ";
  return {.by = text_of(rule, lookup + std::to_string(rule.suppressed_length), family)};
}

Lead lead_by(const PolicyRule& rule, const KernelRoute& route, std::set<std::string> interfaces) {
  const auto family = route.destination.family();
  const bool is_main = route.table == RT_TABLE_MAIN;
  const auto table = is_main ? "" : " table " + table_text(route.table);
  const auto to = net::to_text(route.destination);
  const auto& first = *interfaces.begin();
  const bool is_one = interfaces.size() == 1;
  const auto removal = !is_one           ? program(family) + " route del " + to + table
                       : is_plain(first) ? program(family) + " route del " + to + " dev " + first + table
                                         : "";
  auto text = to;
  for (const auto& each : interfaces) text += (is_one ? " dev " : " nexthop dev ") + each;
  return {
      std::move(interfaces),
      program(family) + " route: " + text + table + (is_main ? "" : " (" + leading_text(rule, family) + ")"),
      removal,
      route.table,
      route.destination,
      !route.has_gateway};
}

// Since Linux 6.13 it is told as EINVAL.
bool is_by_reverse_path(const Packet& packet, int number, const Decision& decision) {
  if (number == EXDEV) return true;
  return number == EINVAL && decision.route != nullptr && decision.route->type == RTN_UNICAST &&
         !packet.in_interface.empty() && packet.destination.family == net::Family::ipv4 &&
         filters_by_reverse_path(packet.in_interface);
}

// The kernel's own word, where nothing is found that explains it: what it says no to for certain, by these
// numbers; by others, it takes no such question.
Refusal not_explained(const Packet& packet, int number) {
  constexpr std::array said_no{EINVAL, EHOSTUNREACH, ENETUNREACH, EACCES, EXDEV};
  const bool is_no = std::ranges::find(said_no, number) != said_no.end();
  auto question = program(packet.destination.family) + " route get " + net::to_text(packet.destination);
  if (!packet.source.is_unspecified()) question += " from " + net::to_text(packet.source);
  if (!packet.in_interface.empty()) question += " iif " + packet.in_interface;
  return {
      .by = "what the kernel answers to " + question + (number == 0 ? "" : ": " + ipmasq::text_of(number)),
      .is_certain = is_no};
}

Refusal by_reverse_path(const Packet& packet) {
  return {"rp_filter of " + packet.in_interface + ": it is not the interface that this node's own way to " +
              net::to_text(packet.source) + " is by",
          "sysctl -w net.ipv4.conf.all.rp_filter=2"};
}

bool is_same(const Refusal& left, const Refusal& right) {
  return left.route ? left.route == right.route : left.by == right.by;
}

// TCP and UDP by the same thing: whatever the protocol.
void add(Refusal refusal, std::vector<Refusal>& found) {
  const auto known =
      std::ranges::find_if(found, [&refusal](const Refusal& each) { return is_same(each, refusal); });
  if (known == found.end()) {
    found.push_back(std::move(refusal));
  } else if (known->is_certain && refusal.is_certain && known->protocol != refusal.protocol) {
    known->protocol.clear();
  } else if (!known->is_certain && refusal.is_certain) {
    *known = std::move(refusal);
  }
}

std::string name_of(std::uint8_t protocol) {
  return protocol == 0 ? "" : protocol == IPPROTO_TCP ? "TCP" : "UDP";
}

}  // namespace

std::string to_text(const Refusal& refusal) {
  return (refusal.by.empty() ? "no route leads there" : refusal.by) +
         (refusal.protocol.empty() ? "" : " (" + refusal.protocol + " alone)");
}

PolicyRouting::PolicyRouting(net::Family family) : family_(family), rules_(policy_rules(family)) {}

std::uint32_t PolicyRouting::mark_bits() const {
  std::uint32_t bits = 0;
  for (const auto& rule : rules_) bits |= rule.mark_mask;
  return bits;
}

std::vector<net::Prefix> PolicyRouting::named_by_rules() const {
  std::vector<net::Prefix> found;
  for (const auto& rule : rules_) std::ranges::copy(addresses_of(rule), std::back_inserter(found));
  return found;
}

bool PolicyRouting::names_interface(const std::string& in_interface) const {
  return std::ranges::find(rules_, in_interface, &PolicyRule::in_interface) != rules_.end();
}

const Tables& PolicyRouting::tables() const {
  if (!tables_) {
    Tables read;
    for (const auto& route : routes(family_)) {
      // The kernel's own entry for what no route leads to.
      const bool is_none =
          route.is_the_kernels && route.type != RTN_LOCAL && refusing_route(route.type) != nullptr;
      if (!is_none) read[route.table].push_back(route);
    }
    tables_ = std::move(read);
  }
  return *tables_;
}

std::optional<Refusal> PolicyRouting::refusal_of(const Packet& packet) const {
  const auto answer = ask_for_route(packet);
  if (answer.number == 0 && refusing_route(answer.type) == nullptr) return std::nullopt;
  const auto decision = decide(rules_, tables(), packet);
  if (is_by_reverse_path(packet, answer.number, decision)) return by_reverse_path(packet);
  const auto* const refusing = refusing_in(decision);
  // These numbers say nothing of rules and routes: of such protocols the kernel takes no question, and such
  // an interface takes nothing to forward.
  const bool is_taken = answer.number != EOPNOTSUPP && answer.number != ENODEV;
  const bool is_forwarded = answer.number != EHOSTUNREACH || packet.in_interface.empty() ||
                            takes_to_forward(packet.in_interface, family_);
  const bool says_nothing = !is_taken || !is_forwarded;
  if (refusing != nullptr && (says_nothing || is_answer_of(*refusing, answer))) {
    if (decision.route == nullptr) return refusal_by(*decision.rule, refusing->type, family_);
    const auto& route = *decision.route;
    if (route.type == RTN_LOCAL && route.is_the_kernels) return refusal_by_address(route);
    return refusal_by(*decision.rule, {route.destination, refusing->type, route.table, route.nexthop});
  }
  const bool is_none = decision.rule == nullptr && (says_nothing || answer.number == ENETUNREACH);
  if (is_none) {
    return decision.rule_that_leaves == nullptr
               ? Refusal{}
               : refusal_by_what_leaves(*decision.rule_that_leaves, *decision.route_left);
  }
  return says_nothing ? std::nullopt : std::optional(not_explained(packet, answer.number));
}

std::vector<Refusal> PolicyRouting::refusals_of(const Asked& asked) const {
  const auto kinds = kinds_of(rules_, asked);
  std::vector<Refusal> found;
  for (const auto& packets : kinds.ordinary) {
    std::vector<Refusal> refusals;
    for (const auto& packet : packets) {
      if (auto refusal = refusal_of(packet)) refusals.push_back(std::move(*refusal));
    }
    const bool are_all = refusals.size() == packets.size();
    for (auto& refusal : refusals) {
      if (kinds.ordinary.size() > 1) refusal.protocol = name_of(packets.front().protocol);
      refusal.is_certain = refusal.is_certain && are_all;
      add(std::move(refusal), found);
    }
  }
  for (const auto& packet : kinds.special) {
    auto refusal = refusal_of(packet);
    if (!refusal) continue;
    refusal->is_certain = false;
    add(std::move(*refusal), found);
  }
  return found;
}

std::vector<net::Prefix> PolicyRouting::refused_by_rules() const {
  std::vector<net::Prefix> found;
  for (const auto& rule : rules_) {
    if (std::ranges::find(all_refusing, rule.action, &Refusing::rule) == all_refusing.end()) continue;
    std::ranges::copy(addresses_of(rule), std::back_inserter(found));
  }
  return found;
}

bool PolicyRouting::tells_more_apart(const Asked& asked) const {
  return !kinds_of(rules_, asked).are_all;
}

std::set<std::string> PolicyRouting::interfaces_of(const Asked& asked) const {
  std::set<std::string> found;
  for (const auto& packets : kinds_of(rules_, asked).ordinary) {
    auto names = routing::interfaces_of(ask_for_route(packets.front()));
    const bool is_so_for_all = std::ranges::all_of(packets, [&names](const Packet& packet) {
      return routing::interfaces_of(ask_for_route(packet)) == names;
    });
    if (is_so_for_all) found.merge(names);
  }
  return found;
}

std::optional<Lead> PolicyRouting::lead_of(const Asked& asked) const {
  auto interfaces = interfaces_of(asked);
  if (interfaces.empty()) return std::nullopt;
  const auto decision = decide(rules_, tables(), kinds_of(rules_, asked).ordinary.front().front());
  if (decision.route == nullptr) return Lead{std::move(interfaces), "", "", 0, {}};
  return lead_by(*decision.rule, *decision.route, std::move(interfaces));
}

bool has_way_to(const net::Address& destination) {
  return ask_for_route({.source = {destination.family, {}}, .destination = destination}).leads_on();
}

std::vector<RefusingRoute> refusing_routes(net::Family family) {
  std::vector<RefusingRoute> found;
  for (const auto& route : routes(family)) {
    const auto* const refusing = refusing_route(route.type);
    if (refusing != nullptr && !route.is_the_kernels)
      found.push_back({route.destination, refusing->type, route.table, route.nexthop});
  }
  return found;
}

}  // namespace ipmasq::routing
