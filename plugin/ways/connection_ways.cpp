#include "plugin/ways/connection_ways.hpp"

#include <algorithm>
#include <utility>

#include "doctor/flows.hpp"
#include "plugin/ways/lost_leads.hpp"
#include "plugin/ways/pod_marks.hpp"
#include "routing/node_addresses.hpp"
#include "routing/pod_route.hpp"
#include "routing/route_question.hpp"

namespace ipmasq::plugin {

namespace {

// Each of two sentences that go on with what was found: what refuses it, and that no route leads there.
void tell(const std::vector<routing::Refusal>& refusals, const std::string& refused,
          const std::string& without_route, std::vector<std::string>& sentences) {
  for (const auto& each : refusals) {
    sentences.push_back((each.is_certain ? "" : "it may be that ") +
                        (each.by.empty() ? without_route : refused) + ": " + routing::to_text(each));
  }
}

// Of answers that may come by several uplinks, what holds for some alone is not certain.
void add(std::vector<routing::Refusal> found, bool is_first, std::vector<routing::Refusal>& refusals) {
  for (auto& each : refusals)
    each.is_certain =
        each.is_certain && std::ranges::find(found, each.by, &routing::Refusal::by) != found.end();
  for (auto& each : found) {
    if (std::ranges::find(refusals, each.by, &routing::Refusal::by) != refusals.end()) continue;
    each.is_certain = each.is_certain && is_first;
    refusals.push_back(std::move(each));
  }
}

std::vector<routing::Refusal> refusals_of_answers(const ConnectionWays& ways,
                                                  const routing::PolicyRouting& routing) {
  std::vector<routing::Refusal> refusals;
  for (const auto& each : ways.answers)
    add(routing.refusals_of(each), &each == &ways.answers.front(), refusals);
  // What the node itself sends to the pod goes as answers do, but for rules that ask where these came from.
  // Where that alone is refused, what others send still comes, unless it has to have a way back.
  const bool is_of_the_node = !ways.answers.empty() && ways.way.pod_interface &&
                              !routing::asks_for_way_back(*ways.way.pod_interface, ways.source.family);
  for (auto& each : routing.refusals_of({{ways.source.family, {}}, ways.source, "", {}})) {
    if (std::ranges::find(refusals, each.by, &routing::Refusal::by) != refusals.end()) continue;
    const bool is_local = each.route && each.route->is_local();
    each.is_certain = each.is_certain && (is_local || !is_of_the_node);
    refusals.push_back(std::move(each));
  }
  // Of a pod that ended, its route ended as well.
  if (!ways.way.pod_interface)
    std::erase_if(refusals, [](const routing::Refusal& each) { return each.by.empty(); });
  return refusals;
}

// Where it is led on to a place that nobody takes it from.
void append_lost_lead(const ConnectionWays& ways, const routing::PolicyRouting& routing,
                      const std::set<std::string>& pod_interfaces, std::vector<std::string>& sentences) {
  const auto lost = lost_lead_of(ways.sent, routing, pod_interfaces);
  if (!lost) return;
  sentences.push_back((lost->is_certain ? "" : "it may be that ") + std::string("this node leads it ") +
                      lost->where + (lost->lead.by.empty() ? "" : ": " + lost->lead.by));
}

// Where it is led to another interface than the one of the pod that it is sent to.
void append_stray_lead(const ConnectionWays& ways, const routing::PolicyRouting& routing,
                       const OwnInterfaces& own, std::vector<std::string>& sentences) {
  const auto to = own.find(ways.sent.destination);
  const auto lead = to == own.end() ? std::nullopt : routing.lead_of(ways.sent);
  if (!lead || lead->interfaces.contains(to->second)) return;
  sentences.push_back("this node leads it to " + joined(lead->interfaces) + ", not to " + to->second +
                      ", where that pod is" + (lead->by.empty() ? "" : ": " + lead->by));
}

// Where answers come to another interface than the pod's.
void append_leads(const ConnectionWays& ways, const routing::PolicyRouting& routing,
                  const std::set<std::string>& pod_interfaces, std::vector<std::string>& sentences) {
  for (const auto& each : ways.answers) {
    auto lead = routing.lead_of(each);
    if (!lead) continue;
    const bool are_all_wrong = lead->interfaces.erase(*ways.way.pod_interface) == 0;
    if (lead->interfaces.empty()) continue;
    const bool is_lost = std::ranges::all_of(lead->interfaces, [&](const std::string& interface) {
      return loses_answers(*lead, interface, each.in_interface, pod_interfaces);
    });
    const bool is_certain = is_lost && are_all_wrong && ways.answers.size() == 1;
    std::string interfaces;
    for (const auto& interface : lead->interfaces) interfaces += (interfaces.empty() ? "" : ", ") + interface;
    sentences.push_back((is_certain ? "" : "it may be that ") + std::string("this node leads answers to ") +
                        net::to_text(each.destination) + " on to " + interfaces + ", not to " +
                        *ways.way.pod_interface + (lead->by.empty() ? "" : ": " + lead->by));
  }
}

}  // namespace

ConnectionWays ways_of(const net::Address& source, const net::Address& destination,
                       const routing::PolicyRouting& routing, const nat::Foreign& foreign,
                       const OwnInterfaces& own) {
  const auto here = routing::node_addresses();
  ConnectionWays ways{.source = source, .node_addresses = {here.begin(), here.end()}};
  auto& way = ways.way;
  way = {.pods = {net::host_prefix(source)},
         .pod_interface = interface_of_pod(own, source),
         .destination = destination};
  if (!way.pod_interface) return ways;
  way.pod_devices = routing::devices_of(*way.pod_interface);
  const auto sent = [&ways] { return doctor::flow_on(ways.way, ways.node_addresses); };
  ways.sent = {source, destination, *way.pod_interface, marks_of(sent(), routing, foreign)};
  auto uplinks = routing.interfaces_of(ways.sent);
  std::erase_if(uplinks, routing::swallows);
  for (const auto& uplink : uplinks) {
    way.uplink = uplink;
    way.uplink_devices = routing::devices_of(uplink);
    ways.answers.push_back({destination, source, uplink, marks_of(nat::answer_to(sent()), routing, foreign)});
  }
  if (uplinks.size() > 1) {
    way.uplink.reset();
    way.uplink_devices.clear();
  }
  return ways;
}

void append_where_lost(const ConnectionWays& ways, const routing::PolicyRouting& routing,
                       const std::set<std::string>& pod_interfaces, bool is_to_pod, const OwnInterfaces& own,
                       std::vector<std::string>& sentences) {
  const auto pod = net::to_text(ways.source);
  const auto refusals = refusals_of_answers(ways, routing);
  const bool is_the_nodes = std::ranges::any_of(
      refusals, [](const routing::Refusal& each) { return each.route && each.route->is_local(); });
  if (ways.way.pod_interface && !is_the_nodes) {
    const auto to = net::to_text(ways.sent.destination);
    const auto refused = routing.refusals_of(ways.sent);
    tell(refused, "this node does not forward it to " + to, "this node has no way to " + to, sentences);
    if (refused.empty() && !is_to_pod) append_lost_lead(ways, routing, pod_interfaces, sentences);
    if (refused.empty() && is_to_pod) append_stray_lead(ways, routing, own, sentences);
  }
  tell(refusals, "this node does not forward answers to " + pod, "this node has no way to " + pod, sentences);
  if (refusals.empty()) append_leads(ways, routing, pod_interfaces, sentences);
}

}  // namespace ipmasq::plugin
