#include "plugin/ways/no_ways.hpp"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cni/json.hpp"
#include "config/netconf_reading.hpp"
#include "doctor/flows.hpp"
#include "error/error.hpp"
#include "nat/explain.hpp"
#include "net/address.hpp"
#include "plugin/ways/asked_hosts.hpp"
#include "plugin/ways/lost_leads.hpp"
#include "plugin/ways/pod_losses.hpp"
#include "plugin/ways/pod_ways.hpp"
#include "plugin/ways/pods_alike.hpp"
#include "plugin/ways/told_no_ways.hpp"
#include "routing/learned_routes.hpp"
#include "routing/node_addresses.hpp"
#include "routing/pod_route.hpp"
#include "routing/refusal.hpp"
#include "routing/route_question.hpp"

namespace ipmasq::plugin {

namespace {

using doctor::NoWay;
using doctor::PodAt;
using net::Family;
using net::Prefix;

// Whether the lists name it where nobody says anything.
bool is_default(const Prefix& prefix) {
  static const auto defaults = config::default_non_masquerade();
  return std::ranges::find(defaults, prefix) != defaults.end();
}

// What hands packets to a program on this node may need the route that takes them in.
bool hands_over(const nat::Foreign& foreign) {
  return std::ranges::any_of(foreign.rules, [](const nat::ForeignRule& rule) {
    return rule.redirection && rule.redirection->to_this_node && !rule.redirection->by_nat;
  });
}

// Others block what is not wanted by sets of a hundred thousand.
constexpr std::size_t most_marked = 1024;

// Of one family.
class NoWays {
 public:
  /// `ways`: of that family; they outlive it.
  NoWays(const Recorded& recorded, Family family, const std::vector<doctor::PodWay>& ways,
         const nat::Foreign& foreign)
      : family_(family),
        routing_(family),
        routes_(routing::routes(family)),
        ruleset_(ruleset_of(recorded)),
        foreign_(foreign),
        pods_(ways, routing_, routes_, foreign_),
        losses_(family, routing_, routes_, foreign_, pods_),
        told_(pods_),
        led_to_(kept_networks(ruleset_, family)) {
    const auto others = routing::interfaces();
    has_other_interfaces_ = std::ranges::any_of(others, [&ways](const std::string& each) {
      return each != "lo" && std::ranges::none_of(ways, [&each](const auto& way) {
               return way.pod_interface == each || way.pod_devices.contains(each);
             });
    });
    for (const auto& each : routing::refusing_routes(family)) refused_.insert(each.destination);
    for (const auto& each : routing_.refused_by_rules()) refused_.insert(each);
    look([&] { may_lose_ = routes_that_may_lose(routes_, pods_.interfaces()); });
    if (routing_.mark_bits() == 0) return;
    for (const auto& each : doctor::named_by(foreign_)) {
      const bool is_asked = each.family() == family_ && is_kept(each) && !is_of_pods(each);
      if (is_asked) marked_.insert(each);
    }
    if (marked_.size() <= most_marked) return;
    marked_.erase(std::next(marked_.begin(), most_marked), marked_.end());
    not_looked_.insert("rules of others name more networks than are asked about for their marks (" +
                       std::to_string(most_marked) + "): whether pods' packets get to the rest is not known");
  }

  std::vector<NoWay> all() {
    for (const auto& alike : pods_.by_interface()) {
      look([&] { ask_for_the_world(alike); });
    }
    for (const auto& alike : pods_.by_names()) {
      const auto& pod = alike.pods.front();
      const bool is_asked = !pod.interface.empty() && !have_node_addresses_.contains(pod.address);
      if (is_asked) ask_for_networks(alike);
    }
    return told_.all();
  }

  /// Why it could not be told of some.
  std::vector<std::string> not_looked() const {
    std::vector<std::string> lines(not_looked_.begin(), not_looked_.end());
    if (losses_.told_more_apart()) {
      lines.push_back("rules of policy routing tell more kinds of packets apart than are asked about: " +
                      std::string(family_ == Family::ipv4 ? "ip" : "ip -6") + " rule");
    }
    return lines;
  }

 private:
  // A question that cannot be asked keeps no other from being asked.
  void look(const std::function<void()>& ask) {
    try {
      ask();
    } catch (const Error& error) {
      not_looked_.insert(error.what());
    }
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

  // Where pods alone are on a node, it is not known to be cut off.
  bool leads_beyond(const PodAt& pod) const {
    if (has_other_interfaces_) return true;
    const auto of_pods = ::if_nametoindex(pod.interface.c_str());
    return std::ranges::any_of(routes_, [of_pods](const auto& each) {
      const auto& to = each.destination.address;
      return each.type == RTN_UNICAST && !to.is_link_local() && !to.is_multicast() &&
             (each.has_gateway || each.interface != of_pods);
    });
  }

  void ask_for_the_world(const PodsAlike& alike) {
    const auto& pod = alike.pods.front();
    const Host world{nobody(family_), net::host_prefix(nobody(family_))};
    const auto own = losses_.of_own(pod);
    // Nothing of it goes anywhere then.
    const bool is_the_nodes = std::ranges::any_of(own, &Told::is_local);
    if (is_the_nodes) have_node_addresses_.insert(pod.address);
    const bool is_asked = !pod.interface.empty() && !is_the_nodes;
    if (is_asked && leads_beyond(pod)) {
      const bool is_world_missed = routing::has_way_to(world.address);
      for (auto& each : losses_.of_sent(alike, world)) {
        const bool may_be_meant = each.is_local && hands_over(foreign_);
        each.no_way.is_missed = each.no_way.is_missed && is_world_missed && !may_be_meant;
        tell(std::move(each), alike, std::nullopt);
      }
    }
    auto answers = is_asked ? losses_.of_answers(alike, world) : std::vector<Told>();
    const bool are_answers_asked = is_asked && losses_.is_led(alike, world);
    const auto refuses = [](const std::vector<Told>& some, const Told& other) {
      return std::ranges::any_of(some,
                                 [&other](const Told& each) { return each.no_way.by == other.no_way.by; });
    };
    for (auto each : own) {
      // Where that alone is refused, what others send still comes, unless it has to have a way back.
      const bool is_of_the_node =
          are_answers_asked && !refuses(answers, each) && !routing::asks_for_way_back(pod.interface, family_);
      each.no_way.is_missed = each.no_way.is_missed && !is_of_the_node;
      each.no_way.is_certain = each.no_way.is_certain && !is_of_the_node;
      tell(std::move(each), alike, std::nullopt);
    }
    for (auto& each : answers) {
      if (!refuses(own, each)) tell(std::move(each), alike, std::nullopt);
    }
  }

  void ask_for_networks(const PodsAlike& alike) {
    for (const auto& network : led_to_) {
      if (!is_of_pods(network)) look([&] { ask_for_led_to(alike, network); });
    }
    for (const auto& chain : ruleset_.chains) {
      if (chain.family != family_) continue;
      for (const auto& each : chain.destinations) look([&] { ask_for_listed(alike, each); });
    }
    for (const auto& each : refused_) look([&] { ask_for_refused(alike, each); });
    for (const auto& each : may_lose_) {
      if (!is_of_pods(each)) look([&] { ask_for_lost(alike, each); });
    }
    for (const auto& each : marked_) look([&] { ask_for_marked(alike, each); });
  }

  // A route of a table that is not the pods' is none of theirs: that there is none is no finding.
  void ask_for_led_to(const PodsAlike& alike, const Prefix& network) {
    for (auto& each : losses_.of_network(alike, network)) {
      if (!each.no_way.by.empty()) tell(std::move(each), alike, network);
    }
  }

  // What a list names on purpose: private ranges as a whole stand in lists of sites that have none of them.
  void ask_for_listed(const PodsAlike& alike, const nat::Destination& listed) {
    const bool is_meant = listed.verdict == nat::Verdict::keep && listed.prefix.length > 0 &&
                          listed.origin.text().starts_with("nonMasqueradeCIDRs") &&
                          !is_default(listed.prefix);
    if (!is_meant || !leads_beyond(alike.pods.front()) || is_of_pods(listed.prefix)) return;
    for (auto& each : losses_.of_network(alike, listed.prefix)) {
      const bool is_told_of_the_world = each.no_way.by.empty() && leads_to_part_of(routes_, listed.prefix);
      if (!is_told_of_the_world) tell(std::move(each), alike, listed.prefix);
    }
  }

  // Of what no list names on purpose, a part may be refused on purpose, and what leads to a part of it often
  // stands beside what refuses the rest.
  void ask_for_refused(const PodsAlike& alike, const Prefix& network) {
    if (!is_kept(network) || is_of_pods(network)) return;
    const bool is_all_of_an_entry = std::ranges::any_of(ruleset_.chains, [&network](const auto& chain) {
      return std::ranges::any_of(chain.destinations,
                                 [&network](const auto& each) { return network.contains(each.prefix); });
    });
    const bool may_be_meant = is_all_of_an_entry || leads_to_part_of(routes_, network);
    for (auto& each : losses_.of_network(alike, network)) {
      const bool is_by_it = std::ranges::find(each.about, network) != each.about.end();
      if (!is_by_it) continue;
      // Addresses that this node answers at itself (of a load balancer) have such a route.
      each.no_way.is_missed = each.no_way.is_missed && !may_be_meant && !each.is_local;
      tell(std::move(each), alike, network);
    }
  }

  // What no list keeps may be led there on purpose.
  void ask_for_lost(const PodsAlike& alike, const Prefix& network) {
    for (auto& each : losses_.of_network(alike, network)) {
      const bool is_by_it = std::ranges::find(each.about, network) != each.about.end();
      if (!is_by_it) continue;
      each.no_way.is_missed = each.no_way.is_missed && is_kept(network);
      tell(std::move(each), alike, network);
    }
  }

  void ask_for_marked(const PodsAlike& alike, const Prefix& network) {
    for (auto& each : losses_.of_network(alike, network)) {
      if (!each.is_by_mark || !each.no_way.is_certain) continue;
      each.no_way.is_missed = each.no_way.is_missed && !(each.is_local && hands_over(foreign_));
      tell(std::move(each), alike, network);
    }
  }

  void tell(Told told, const PodsAlike& alike, const std::optional<Prefix>& to) {
    told.pods = alike.pods;
    told_.add(std::move(told), to);
  }

  Family family_;
  routing::PolicyRouting routing_;
  std::vector<routing::KernelRoute> routes_;
  nat::Ruleset ruleset_;
  const nat::Foreign& foreign_;
  RecordedPods pods_;
  PodLosses losses_;
  ToldNoWays told_;
  std::vector<Prefix> led_to_;                  // by gateways, and kept
  std::set<Prefix> refused_;                    // by rules and routes
  std::set<Prefix> may_lose_;                   // by routes to where pods are, or nobody
  std::set<Prefix> marked_;                     // by others, perhaps
  bool has_other_interfaces_ = false;           // than pods'
  std::set<net::Address> have_node_addresses_;  // pods
  std::set<std::string> not_looked_;
};

}  // namespace

std::vector<NoWay> no_ways(const Recorded& recorded, const std::vector<doctor::PodWay>& ways,
                           const nat::Foreign& foreign, std::vector<std::string>& not_looked) {
  std::vector<NoWay> found;
  for (const auto family : {Family::ipv4, Family::ipv6}) {
    std::vector<doctor::PodWay> of_family;
    std::ranges::copy_if(ways, std::back_inserter(of_family),
                         [family](const doctor::PodWay& way) { return way.pods.front().family() == family; });
    const auto has_pods = [](const doctor::PodWay& way) { return !way.attached.empty(); };
    if (std::ranges::none_of(of_family, has_pods)) continue;
    NoWays asked(recorded, family, of_family, foreign);
    std::ranges::move(asked.all(), std::back_inserter(found));
    std::ranges::move(asked.not_looked(), std::back_inserter(not_looked));
  }
  return found;
}

}  // namespace ipmasq::plugin
