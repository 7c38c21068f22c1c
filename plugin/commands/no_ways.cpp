#include "plugin/commands/no_ways.hpp"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cni/json.hpp"
#include "config/netconf.hpp"
#include "nat/explain.hpp"
#include "net/address.hpp"
#include "plugin/commands/pod_ways.hpp"
#include "routing/learned_routes.hpp"
#include "routing/pod_route.hpp"
#include "routing/refusal.hpp"

namespace ipmasq::plugin {

namespace {

using doctor::NoWay;
using doctor::PodAt;
using net::Family;
using net::Prefix;

// Whether the lists name it where nobody says anything.
bool is_default(const Prefix& prefix) {
  static const auto defaults = config::parse_netconf(cni::Json::object()).non_masquerade;
  return std::ranges::find(defaults, prefix, &config::ListedPrefix::prefix) != defaults.end();
}

Prefix alone(const net::Address& address) {
  return net::network_of(address, net::bits(address.family));
}

std::string ip(Family family) {
  return family == Family::ipv4 ? "ip" : "ip -6";
}

// What is told of pods, and by which of them.
struct Told {
  NoWay no_way = {};
  std::vector<Prefix> about = {};          // what the rule or route names
  std::optional<Prefix> destination = {};  // of the route that decides
  std::uint32_t table = RT_TABLE_MAIN;     // that lacks one
  std::vector<PodAt> pods = {};
};

Told told_of(const routing::Refusal& refusal) {
  const bool is_no_route = refusal.by.empty() && refusal.protocol.empty();
  Told told{.no_way = {.pods = {},
                       .by = is_no_route ? "" : routing::to_text(refusal),
                       .fix = refusal.removal,
                       .is_missed = refusal.is_certain,
                       .is_certain = refusal.is_certain},
            .about = refusal.about};
  if (refusal.route) {
    told.destination = refusal.route->destination;
    told.table = refusal.route->table;
  }
  return told;
}

// A longer route beside the one that decides takes nothing away from anybody.
std::string route_to(const std::vector<Prefix>& pods, const std::set<std::string>& interfaces,
                     std::uint32_t table) {
  const bool is_one = interfaces.size() == 1 && !interfaces.begin()->empty();
  const auto device = is_one ? nat::shell_word(*interfaces.begin()) : "INTERFACE";
  std::string commands;
  for (const auto& each : pods) {
    commands += (commands.empty() ? "" : " && ") + ip(each.family()) + " route add " + net::to_text(each) +
                " dev " + device + (table == RT_TABLE_MAIN ? "" : " table " + std::to_string(table));
  }
  return commands;
}

// Of one family.
class NoWays {
 public:
  NoWays(const Recorded& recorded, Family family, const nat::Foreign& foreign)
      : family_(family),
        routing_(family),
        routes_(routing::routes(family)),
        ruleset_(ruleset_of(recorded)),
        foreign_(foreign) {}

  std::vector<NoWay> of(const doctor::PodWay& way) {
    found_.clear();
    answer_marks_.clear();
    way_ = way;
    way_.uplink.reset();
    way_.uplink_devices.clear();
    marks_ = marks_of(flow_on(way_), routing_, foreign_);
    ask_for_each_pod();
    const auto known =
        std::ranges::find_if(way_.attached, [](const PodAt& pod) { return !pod.interface.empty(); });
    if (known != way_.attached.end()) ask_for_networks(*known);
    return std::move(found_);
  }

  bool tells_more_apart() const { return tells_more_apart_; }

 private:
  static bool leads(const routing::KernelRoute& route) { return route.type == RTN_UNICAST; }

  bool leads_to_part_of(const Prefix& network) const {
    return std::ranges::any_of(routes_, [&network](const auto& each) {
      return leads(each) && network.contains(each.destination) && each.destination != network;
    });
  }

  // What is announced of all pods often has such a route, beside those of each node.
  bool is_of_pods(const Prefix& network) const {
    return std::ranges::any_of(ruleset_.sources, [&network](const nat::Source& each) {
      return network.contains(each.prefix) || each.prefix.contains(network);
    });
  }

  bool is_kept(const Prefix& network) const {
    return std::ranges::any_of(ruleset_.chains, [&](const auto& chain) {
      return chain.family == family_ && nat::keeps_all(chain, network);
    });
  }

  // Of one family, a node may have pods alone.
  bool leads_beyond(const PodAt& pod) const {
    const auto of_pods = ::if_nametoindex(pod.interface.c_str());
    return std::ranges::any_of(routes_, [of_pods](const auto& each) {
      const auto& to = each.destination.address;
      return leads(each) && !to.is_link_local() && !to.is_multicast() &&
             (each.has_gateway || each.interface != of_pods);
    });
  }

  // ---- questions

  routing::Asked sent(const PodAt& pod, const net::Address& to) const {
    return {pod.address, to, pod.interface, marks_};
  }

  routing::Asked answer(const PodAt& pod, const net::Address& from, const std::string& uplink) {
    const auto [marks, is_new] = answer_marks_.try_emplace(uplink);
    if (is_new && routing_.asks_for_marks()) {
      auto way = way_;
      way.uplink = uplink;
      way.uplink_devices = routing::devices_of(uplink);
      marks->second = marks_of(nat::answer_to(flow_on(way)), routing_, foreign_);
    }
    return {from, pod.address, uplink, marks->second};
  }

  std::vector<Told> refusals_of(const routing::Asked& asked) {
    tells_more_apart_ = tells_more_apart_ || routing_.tells_more_apart(asked);
    std::vector<Told> told;
    for (const auto& each : routing_.refusals_of(asked)) told.push_back(told_of(each));
    return told;
  }

  // The node itself sends to pods as well: where it cannot, no answer comes in time either.
  std::vector<Told> own_refusals(const PodAt& pod) {
    auto found = refusals_of({{family_, {}}, pod.address, "", {}});
    // Of a pod that ended, its route ended as well: one that nothing leads to is told by its record.
    if (pod.interface.empty()) std::erase_if(found, [](const Told& each) { return each.no_way.by.empty(); });
    for (auto& each : found) {
      const bool may_have_ended =
          pod.interface.empty() && each.destination && *each.destination != alone(pod.address);
      each.no_way.are_answers = true;
      each.no_way.is_missed = each.no_way.is_missed && !may_have_ended;
    }
    return found;
  }

  std::vector<Told> answers_from(const PodAt& pod, const net::Address& from) {
    const auto uplink = routing_.interface_of(sent(pod, from));
    if (!uplink || *uplink == pod.interface) return {};
    const auto asked = answer(pod, from, *uplink);
    auto found = refusals_of(asked);
    const auto lead = found.empty() ? routing_.lead_of(asked) : std::nullopt;
    if (lead && lead->interface != pod.interface) {
      const auto by = "led on to " + lead->interface + ", not to " + pod.interface +
                      (lead->by.empty() ? "" : ": " + lead->by);
      found.push_back(
          {.no_way = {.pods = {}, .by = by, .fix = lead->removal, .is_missed = lead->interface == *uplink},
           .destination = lead->destination,
           .table = lead->table});
    }
    for (auto& each : found) {
      each.no_way.are_answers = true;
      each.no_way.uplink = *uplink;
    }
    return found;
  }

  // ---- about what

  void ask_for_each_pod() {
    std::vector<Told> told;
    const auto world = nobody(family_);
    const bool is_world_missed = routing::has_way_to(world);
    const auto take = [&told](const PodAt& pod, Told each) {
      const auto known = std::ranges::find(told, each.no_way, &Told::no_way);
      auto& group = known == told.end() ? told.emplace_back(std::move(each)) : *known;
      group.pods.push_back(pod);
    };
    for (const auto& pod : way_.attached) {
      const auto own = own_refusals(pod);
      const bool is_sent = !pod.interface.empty() && leads_beyond(pod);
      for (auto& each : is_sent ? refusals_of(sent(pod, world)) : std::vector<Told>()) {
        each.no_way.is_missed = each.no_way.is_missed && is_world_missed;
        take(pod, std::move(each));
      }
      for (const auto& each : own) take(pod, each);
      if (pod.interface.empty()) continue;
      for (auto& each : answers_from(pod, world)) {
        const bool is_told = std::ranges::any_of(
            own, [&each](const Told& other) { return other.no_way.by == each.no_way.by; });
        if (!is_told) take(pod, std::move(each));
      }
    }
    for (auto& each : told) add(std::move(each), std::nullopt);
  }

  void ask_for_networks(const PodAt& pod) {
    for (const auto& network : kept_networks(ruleset_, family_)) {
      if (!is_of_pods(network)) ask_for_led_to(pod, network);
    }
    for (const auto& chain : ruleset_.chains) {
      if (chain.family != family_) continue;
      for (const auto& each : chain.destinations) ask_for_listed(pod, each);
    }
    std::set<Prefix> refused;
    for (const auto& each : routing::refusing_routes(family_)) refused.insert(each.destination);
    for (const auto& each : routing_.refused_by_rules()) refused.insert(each);
    for (const auto& each : refused) ask_for_refused(pod, each);
  }

  // A route of a table that is not the pods' is none of theirs: that there is none is no finding.
  void ask_for_led_to(const PodAt& pod, const Prefix& network) {
    for (auto& each : found_for(pod, network)) {
      if (!each.no_way.by.empty()) tell(std::move(each), network);
    }
  }

  // What a list names on purpose: private ranges as a whole stand in lists of sites that have none of them.
  void ask_for_listed(const PodAt& pod, const nat::Destination& listed) {
    const bool is_meant = listed.verdict == nat::Verdict::keep && listed.prefix.length > 0 &&
                          listed.origin.starts_with("nonMasqueradeCIDRs") && !is_default(listed.prefix);
    if (!is_meant || !leads_beyond(pod) || is_of_pods(listed.prefix) || leads_to_part_of(listed.prefix))
      return;
    for (auto& each : found_for(pod, listed.prefix)) tell(std::move(each), listed.prefix);
  }

  // Of what no list names on purpose, a part may be refused on purpose.
  void ask_for_refused(const PodAt& pod, const Prefix& network) {
    if (!is_kept(network) || is_of_pods(network) || leads_to_part_of(network)) return;
    const bool is_all_of_an_entry = std::ranges::any_of(ruleset_.chains, [&network](const auto& chain) {
      return std::ranges::any_of(chain.destinations,
                                 [&network](const auto& each) { return network.contains(each.prefix); });
    });
    for (auto& each : found_for(pod, network)) {
      const bool is_by_it = std::ranges::find(each.about, network) != each.about.end();
      if (!is_by_it) continue;
      each.no_way.is_missed = each.no_way.is_missed && !is_all_of_an_entry;
      tell(std::move(each), network);
    }
  }

  std::vector<Told> found_for(const PodAt& pod, const Prefix& network) {
    auto told = refusals_of(sent(pod, network.address));
    std::ranges::move(answers_from(pod, network.address), std::back_inserter(told));
    return told;
  }

  // ---- what is told

  // Of all pods, where one was asked about.
  void tell(Told told, const Prefix& to) {
    told.pods = way_.attached;
    add(std::move(told), to);
  }

  void set_fix(Told& told) const {
    auto& no_way = told.no_way;
    if (!no_way.are_answers) {
      const auto to = no_way.to ? net::to_text(*no_way.to) : std::string("default");
      if (no_way.by.empty()) no_way.fix = ip(family_) + " route add " + to + " via ROUTER";
      return;
    }
    std::set<std::string> interfaces;
    for (const auto& pod : told.pods) interfaces.insert(pod.interface);
    const bool is_wider = told.destination && std::ranges::all_of(no_way.pods, [&told](const Prefix& each) {
                            return told.destination->contains(each) && *told.destination != each;
                          });
    if (no_way.by.empty() || is_wider) no_way.fix = route_to(no_way.pods, interfaces, told.table);
  }

  // Each rule or route once: the world comes first.
  void add(Told told, const std::optional<Prefix>& to) {
    auto& no_way = told.no_way;
    no_way.to = to;
    if (told.pods.size() == way_.attached.size()) {
      no_way.pods = way_.pods;
    } else {
      for (const auto& pod : told.pods) no_way.pods.push_back(alone(pod.address));
    }
    const auto known = std::ranges::find_if(found_, [&no_way](const NoWay& each) {
      return each.by == no_way.by && each.are_answers == no_way.are_answers &&
             (!each.by.empty() || each.to == no_way.to);
    });
    if (known != found_.end()) {
      known->is_missed = known->is_missed || no_way.is_missed;
      return;
    }
    set_fix(told);
    found_.push_back(std::move(no_way));
  }

  Family family_;
  routing::PolicyRouting routing_;
  std::vector<routing::KernelRoute> routes_;
  nat::Ruleset ruleset_;
  const nat::Foreign& foreign_;
  doctor::PodWay way_;
  routing::Marks marks_;
  std::map<std::string, routing::Marks> answer_marks_;  // by the uplink that they come by
  bool tells_more_apart_ = false;
  std::vector<NoWay> found_;
};

}  // namespace

std::vector<NoWay> no_ways(const Recorded& recorded, const std::vector<doctor::PodWay>& ways,
                           const nat::Foreign& foreign, std::vector<std::string>& not_looked) {
  std::vector<NoWay> found;
  for (const auto family : {Family::ipv4, Family::ipv6}) {
    const auto is_asked_about = [family](const doctor::PodWay& way) {
      return way.pods.front().family() == family && !way.attached.empty();
    };
    if (std::ranges::none_of(ways, is_asked_about)) continue;
    NoWays asked(recorded, family, foreign);
    std::set<std::vector<Prefix>> done;
    for (const auto& way : ways) {
      if (!is_asked_about(way) || !done.insert(way.pods).second) continue;
      std::ranges::move(asked.of(way), std::back_inserter(found));
    }
    if (asked.tells_more_apart())
      not_looked.emplace_back(
          "rules of policy routing tell more kinds of packets apart than are asked about: " + ip(family) +
          " rule");
  }
  return found;
}

}  // namespace ipmasq::plugin
