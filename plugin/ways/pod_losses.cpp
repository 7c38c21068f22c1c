#include "plugin/ways/pod_losses.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "plugin/ways/asked_hosts.hpp"
#include "plugin/ways/lost_leads.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

PodLosses::PodLosses(net::Family family, const routing::PolicyRouting& routing,
                     const std::vector<routing::KernelRoute>& routes, const nat::Foreign& foreign,
                     RecordedPods& pods)
    : family_(family), routing_(routing), routes_(routes), marks_(routing, foreign), pods_(pods) {}

routing::Asked PodLosses::sent(const PodsAlike& alike, const Host& to) {
  const auto& pod = alike.pods.front();
  return {pod.address, to.address, pod.interface, marks_.sent(pods_.way_of(alike), pod.address, to.network)};
}

routing::Asked PodLosses::answer(const PodsAlike& alike, const Host& from, const std::string& uplink) {
  const auto& pod = alike.pods.front();
  return {from.address, pod.address, uplink,
          marks_.answers(pods_.way_of(alike), pod.address, from.network, uplink)};
}

std::vector<Told> PodLosses::refusals_of(const routing::Asked& asked) {
  told_more_apart_ = told_more_apart_ || routing_.tells_more_apart(asked);
  std::vector<Told> told;
  for (const auto& each : routing_.refusals_of(asked)) told.push_back(told_of(each));
  return told;
}

std::vector<Told> PodLosses::of_sent(const PodsAlike& alike, const Host& to) {
  const auto asked = sent(alike, to);
  auto told = refusals_of(asked);
  const auto lost = told.empty() ? lost_lead_of(asked, routing_, pods_.interfaces()) : std::nullopt;
  if (!lost) return told;
  const auto by = "led " + lost->where + (lost->lead.by.empty() ? "" : ": " + lost->lead.by);
  told.push_back({.no_way = {.pods = {},
                             .by = by,
                             .fix = lost->lead.removal,
                             .is_missed = lost->is_certain,
                             .is_certain = lost->are_all},
                  .about = {lost->lead.destination},
                  .destination = lost->lead.destination,
                  .table = lost->lead.table});
  return told;
}

std::vector<Told> PodLosses::of_own(const doctor::PodAt& pod) {
  auto found = refusals_of({{family_, {}}, pod.address, "", {}});
  // Of a pod that ended, its route ended as well: one that nothing leads to is told by its record.
  if (pod.interface.empty()) std::erase_if(found, [](const Told& each) { return each.no_way.by.empty(); });
  for (auto& each : found) {
    const bool may_have_ended =
        pod.interface.empty() && each.destination && *each.destination != net::host_prefix(pod.address);
    each.no_way.are_answers = true;
    each.no_way.is_missed = each.no_way.is_missed && !may_have_ended;
  }
  return found;
}

std::vector<Told> PodLosses::of_answers(const PodsAlike& alike, const Host& from) {
  std::vector<Told> found;
  auto uplinks = routing_.interfaces_of(sent(alike, from));
  uplinks.erase(alike.pods.front().interface);
  std::erase_if(uplinks, routing::swallows);
  for (const auto& uplink : uplinks) {
    for (auto& each : of_answers_by(uplink, alike, from)) {
      each.no_way.are_answers = true;
      each.no_way.uplink = uplink;
      found.push_back(std::move(each));
    }
  }
  return found;
}

std::vector<Told> PodLosses::of_answers_by(const std::string& uplink, const PodsAlike& alike,
                                           const Host& from) {
  const auto asked = answer(alike, from, uplink);
  auto found = refusals_of(asked);
  const auto lead = found.empty() ? routing_.lead_of(asked) : std::nullopt;
  if (!lead) return found;
  const auto& interface = alike.pods.front().interface;
  auto wrong = lead->interfaces;
  const bool are_all_wrong = wrong.erase(interface) == 0;
  if (wrong.empty()) return found;
  const bool is_lost = std::ranges::any_of(
      wrong, [&](const std::string& each) { return loses_answers(*lead, each, uplink, pods_.interfaces()); });
  const auto by =
      "led on to " + joined(wrong) + ", not to " + interface + (lead->by.empty() ? "" : ": " + lead->by);
  found.push_back(
      {.no_way =
           {.pods = {}, .by = by, .fix = lead->removal, .is_missed = is_lost, .is_certain = are_all_wrong},
       .destination = lead->destination,
       .table = lead->table});
  return found;
}

std::vector<Told> PodLosses::of_network(const PodsAlike& alike, const net::Prefix& network) {
  const auto host = host_of(network, routes_);
  if (!host) return {};
  const Host to{*host, network};
  auto told = of_sent(alike, to);
  std::ranges::move(of_answers(alike, to), std::back_inserter(told));
  if (!leads_to_part_of(routes_, network)) return told;
  for (auto& each : told) each.no_way.is_certain = false;
  return told;
}

bool PodLosses::is_led(const PodsAlike& alike, const Host& to) {
  return !routing_.interfaces_of(sent(alike, to)).empty();
}

}  // namespace ipmasq::plugin
