#include "plugin/ways/lost_leads.hpp"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <utility>

#include "routing/node_addresses.hpp"
#include "routing/pod_route.hpp"

namespace ipmasq::plugin {

namespace {

// Hosts of the interface's own networks are there.
bool is_among_its_hosts(const net::Address& address, const std::string& interface) {
  const auto networks = routing::networks_by_interface();
  return std::ranges::any_of(
      networks, [&](const auto& each) { return each.first == interface && each.second.contains(address); });
}

}  // namespace

std::optional<LostLead> lost_lead_of(const routing::Asked& sent, const routing::PolicyRouting& routing,
                                     const std::set<std::string>& pod_interfaces) {
  auto lead = routing.lead_of(sent);
  if (!lead) return std::nullopt;
  std::set<std::string> ending;
  std::set<std::string> back;
  for (const auto& each : lead->interfaces) {
    const bool is_of_pods = each == sent.in_interface || pod_interfaces.contains(each);
    if (routing::swallows(each))
      ending.insert(each);
    else if (is_of_pods && lead->is_on_link && !is_among_its_hosts(sent.destination, each))
      back.insert(each);
  }
  if (ending.empty() && back.empty()) return std::nullopt;
  const bool are_all = ending.size() + back.size() == lead->interfaces.size();
  const auto where = ending.empty() ? "back to " + joined(back) + ", where pods are"
                                    : "to " + joined(ending) + ", where it ends";
  return LostLead{*std::move(lead), where, are_all, are_all && back.empty()};
}

bool loses_answers(const routing::Lead& lead, const std::string& interface, const std::string& uplink,
                   const std::set<std::string>& pod_interfaces) {
  // Neither the router nor another pod brings them back, and on another bridge nobody has the address.
  return interface == uplink || pod_interfaces.contains(interface) || routing::swallows(interface) ||
         (lead.is_on_link && routing::is_bridge(interface));
}

std::set<net::Prefix> routes_that_may_lose(const std::vector<routing::KernelRoute>& routes,
                                           const std::set<std::string>& pod_interfaces) {
  std::map<std::uint32_t, bool> may_lose;
  const auto leads_there = [&](std::uint32_t index) {
    const auto [known, is_new] = may_lose.try_emplace(index, false);
    std::array<char, IF_NAMESIZE> name{};
    if (is_new && ::if_indextoname(index, name.data()) != nullptr)
      known->second = pod_interfaces.contains(name.data()) || routing::swallows(name.data());
    return known->second;
  };
  std::set<net::Prefix> found;
  for (const auto& each : routes) {
    const bool is_made = each.type == RTN_UNICAST && !each.is_the_kernels && !each.has_gateway;
    if (is_made && each.destination.length > 0 && leads_there(each.interface)) found.insert(each.destination);
  }
  return found;
}

std::string joined(const std::set<std::string>& names) {
  std::string text;
  for (const auto& each : names) text += (text.empty() ? "" : ", ") + each;
  return text;
}

}  // namespace ipmasq::plugin
