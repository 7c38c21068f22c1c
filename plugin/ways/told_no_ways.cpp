#include "plugin/ways/told_no_ways.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "nat/foreign_rule.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

using doctor::NoWay;
using doctor::PodAt;
using net::Family;
using net::Prefix;

std::string ip(Family family) {
  return family == Family::ipv4 ? "ip" : "ip -6";
}

bool is_among(const PodAt& pod, const std::vector<PodAt>& pods) {
  return std::ranges::find(pods, pod) != pods.end();
}

}  // namespace

Told told_of(const routing::Refusal& refusal) {
  const bool is_no_route = refusal.by.empty() && refusal.protocol.empty();
  Told told{.no_way = {.pods = {},
                       .by = is_no_route ? "" : routing::to_text(refusal),
                       .fix = refusal.removal,
                       .is_missed = refusal.is_certain,
                       .is_certain = refusal.is_certain},
            .about = refusal.about,
            .is_by_mark = refusal.is_by_mark};
  if (refusal.route) {
    told.destination = refusal.route->destination;
    told.table = refusal.route->table;
    told.is_local = refusal.route->is_local();
  }
  return told;
}

// A longer route beside the one that decides takes nothing away from anybody. Of pods that have interfaces of
// their own each has its own.
std::string ToldNoWays::route_to(const std::vector<Prefix>& prefixes, std::uint32_t table,
                                 const std::string& verb) const {
  std::string commands;
  const auto add = [&commands, &verb, table](const Prefix& to, const std::string& interface) {
    commands += (commands.empty() ? "" : " && ") + ip(to.family()) + " route " + verb + " " +
                net::to_text(to) + " dev " + (interface.empty() ? "INTERFACE" : nat::shell_word(interface)) +
                (table == RT_TABLE_MAIN ? "" : " table " + std::to_string(table));
  };
  for (const auto& each : prefixes) {
    const auto pods = pods_.in(each);
    const bool is_one = std::ranges::all_of(
        pods, [&pods](const PodAt& pod) { return pod.interface == pods.front().interface; });
    if (is_one && !pods.empty() && !pods_.has_own_interface(pods.front())) {
      add(each, pods.front().interface);
      continue;
    }
    for (const auto& pod : pods) add(net::host_prefix(pod.address), pod.interface);
  }
  return commands;
}

// Whether a route stands where the pod's own would, beside which no other leads to it.
bool ToldNoWays::is_instead_of_own(const Told& told, const std::vector<Prefix>& prefixes) const {
  const auto pods = told.destination ? pods_.in(*told.destination) : std::vector<PodAt>();
  return told.table == RT_TABLE_MAIN &&
         prefixes == std::vector<Prefix>{told.destination.value_or(Prefix())} && pods.size() == 1 &&
         !pods.front().interface.empty() && !pods_.has_own_interface(pods.front()) &&
         !routing::is_bridge(pods.front().interface);
}

std::string ToldNoWays::fix_of(const Told& told, const std::vector<Prefix>& prefixes) const {
  const auto& no_way = told.no_way;
  if (!no_way.are_answers) {
    if (!no_way.by.empty()) return no_way.fix;
    const auto to = no_way.to ? net::to_text(*no_way.to) : std::string("default");
    return ip(prefixes.front().family()) + " route add " + to + " via ROUTER";
  }
  const bool is_wider =
      told.destination && std::ranges::all_of(prefixes, [&](const Prefix& each) {
        return *told.destination != each && pods_.is_for_a_subnet_of(*told.destination, each);
      });
  if (no_way.by.empty() || is_wider) return route_to(prefixes, told.table, "add");
  return is_instead_of_own(told, prefixes) ? route_to(prefixes, told.table, "replace") : no_way.fix;
}

void ToldNoWays::add(Told told, const std::optional<Prefix>& to) {
  told.no_way.to = to;
  for (auto& known : found_) {
    const bool is_same_thing =
        known.no_way.by == told.no_way.by && known.no_way.are_answers == told.no_way.are_answers;
    if (!is_same_thing) continue;
    const bool is_as_certain = known.no_way.is_certain == told.no_way.is_certain;
    if (is_as_certain && known.no_way.to == to && known.no_way.uplink == told.no_way.uplink) {
      known.no_way.is_missed = known.no_way.is_missed || told.no_way.is_missed;
      for (auto& pod : told.pods) {
        if (!is_among(pod, known.pods)) known.pods.push_back(std::move(pod));
      }
      return;
    }
    if (told.no_way.by.empty() || (told.no_way.is_certain && !known.no_way.is_certain)) continue;
    const bool is_told =
        std::ranges::all_of(told.pods, [&known](const PodAt& pod) { return is_among(pod, known.pods); });
    if (!is_told) continue;
    known.no_way.is_missed = known.no_way.is_missed || told.no_way.is_missed;
    return;
  }
  found_.push_back(std::move(told));
}

std::vector<NoWay> ToldNoWays::all() const {
  std::vector<NoWay> all;
  for (const auto& told : found_) {
    auto& no_way = all.emplace_back(told.no_way);
    no_way.pods = pods_.as_prefixes(told.pods);
    no_way.fix = fix_of(told, no_way.pods);
  }
  return all;
}

}  // namespace ipmasq::plugin
