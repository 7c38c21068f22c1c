#include "doctor/flows.hpp"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "net/prefixes.hpp"

namespace ipmasq::doctor {

namespace {

using nat::ForeignElement;
using nat::ForeignRule;
using nat::ForeignSet;

// What no host beyond a default route has (RFC 6890), or what others' lists of such have.
constexpr std::array<const char*, 20> not_of_the_world{
    "0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
    "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",    "::/3",
    "2001::/16",     "2002::/16",       "4000::/2",       "8000::/1",       "3fff::/20"};

using Sets = std::map<std::tuple<std::string, std::string, std::string>, const ForeignSet*>;

// In a table of both families, of what asks for neither, the length of an address tells it.
net::Family family_of(const ForeignRule& rule, const ForeignElement& element) {
  if (rule.only) return *rule.only;
  const bool is_ipv6 = rule.family == "ip6" || (rule.family != "ip" && element.first.size() >= 16);
  return is_ipv6 ? net::Family::ipv6 : net::Family::ipv4;
}

void add_address(const ForeignElement& element, unsigned at, net::Family family,
                 std::set<net::Prefix>& names) {
  const auto size = net::bits(family) / 8;
  if (element.first.size() < at + size || element.last.size() < at + size) return;
  net::Range range{{family, {}}, {family, {}}};
  std::ranges::copy(std::string_view(element.first).substr(at, size), range.first.bytes.begin());
  std::ranges::copy(std::string_view(element.last).substr(at, size), range.last.bytes.begin());
  if (range.first <= range.last) names.merge(net::prefixes_of(range));
}

void add_names(const ForeignRule& rule, const nat::Lookup& lookup, const Sets& sets,
               std::set<net::Prefix>& names) {
  const auto found = sets.find({rule.family, rule.table, lookup.set});
  if (found == sets.end()) return;
  for (const auto& element : found->second->elements) {
    for (const auto& at : {lookup.source_at, lookup.destination_at}) {
      if (at) add_address(element, *at, family_of(rule, element), names);
    }
  }
}

}  // namespace

nat::Flow flow_on(const PodWay& way, const std::set<net::Address>& node_addresses) {
  return {.sources = way.pods,
          .destination = way.destination,
          .in_interface = way.pod_interface,
          .out_interface = way.uplink,
          .in_devices = way.pod_devices,
          .out_devices = way.uplink_devices,
          .node_addresses = node_addresses};
}

std::set<net::Prefix> named_by(const nat::Foreign& foreign) {
  Sets sets;
  for (const auto& each : foreign.sets) sets[{each.family, each.table, each.name}] = &each;
  std::set<net::Prefix> found;
  for (const auto& rule : foreign.rules) {
    const bool is_of_nat = rule.table == "nat" && !rule.mark_change;
    if (is_of_nat || rule.is_of_services()) continue;
    for (const auto& each : {rule.source, rule.destination}) {
      if (each && each->value.length > 0) found.insert(each->value);
    }
    for (const auto& each : {rule.source_range, rule.destination_range}) {
      if (!each) continue;
      found.insert(net::host_prefix(each->value.first));
      found.insert(net::host_prefix(each->value.last));
    }
    for (const auto& each : rule.lookups) add_names(rule, each, sets, found);
    if (rule.verdicts) add_names(rule, *rule.verdicts, sets, found);
  }
  std::erase_if(found, [](const net::Prefix& each) { return each.length == 0; });
  return found;
}

std::set<std::string> interfaces_named_by(const nat::Foreign& foreign) {
  Sets sets;
  for (const auto& each : foreign.sets) sets[{each.family, each.table, each.name}] = &each;
  std::set<std::string> found;
  const auto add_of_set = [&](const ForeignRule& rule, const nat::Lookup& lookup) {
    const auto set = sets.find({rule.family, rule.table, lookup.set});
    if (set == sets.end()) return;
    for (const auto& element : set->second->elements) {
      for (const auto& at : {lookup.in_interface_at, lookup.out_interface_at}) {
        if (at && element.first.size() > *at) found.insert(element.first.substr(*at, IFNAMSIZ).c_str());
      }
    }
  };
  for (const auto& rule : foreign.rules) {
    if (rule.in_interface) found.insert(rule.in_interface->value);
    if (rule.out_interface) found.insert(rule.out_interface->value);
    for (const auto& each : rule.lookups) add_of_set(rule, each);
    if (rule.verdicts) add_of_set(rule, *rule.verdicts);
  }
  return found;
}

std::optional<net::Address> host_beside(const std::set<net::Prefix>& names, const net::Prefix& network) {
  std::vector<net::Range> ranges;
  const auto add = [&](const net::Prefix& each) {
    if (each.family() == network.family()) ranges.push_back(net::range_of(each));
  };
  for (const auto& each : names) add(each);
  if (network.length == 0) {
    for (const auto* const each : not_of_the_world) add(net::parse_interface_address(each).value().network());
  }
  std::ranges::sort(ranges);
  auto host = network.length < net::bits(network.family()) ? net::next(network.address)
                                                           : std::optional(network.address);
  for (const auto& each : ranges) {
    if (host && each.first <= *host && *host <= each.last) host = net::next(each.last);
  }
  return host && network.contains(*host) ? host : std::nullopt;
}

std::string text_of(const std::vector<net::Prefix>& pods) {
  constexpr std::size_t most = 8;
  std::string text;
  for (std::size_t each = 0; each < std::min(pods.size(), most); ++each)
    text += (text.empty() ? "" : ", ") + net::to_text(pods[each]);
  return text + (pods.size() > most ? " and " + std::to_string(pods.size() - most) + " more" : "");
}

std::vector<net::Prefix> pod_subnets_of(const Facts& facts, net::Family family) {
  std::vector<net::Prefix> subnets;
  for (const auto& network : facts.ours.networks) {
    std::ranges::copy_if(network.pod_subnets, std::back_inserter(subnets),
                         [family](const net::Prefix& subnet) { return subnet.family() == family; });
  }
  return subnets;
}

std::vector<nat::Contradiction> contradictions_for_all_pods(const Facts& facts) {
  std::vector<nat::Contradiction> found;
  for (const auto family : {net::Family::ipv4, net::Family::ipv6}) {
    for (const auto* const backend : {"iptables", "nftables"}) {
      nat::Flow flow{
          .sources = {}, .in_devices = facts.node.pod_devices, .node_addresses = facts.node.addresses};
      for (const auto& network : facts.ours.networks) {
        if (network.backend != backend) continue;
        std::ranges::copy_if(network.pod_subnets, std::back_inserter(flow.sources),
                             [family](const net::Prefix& subnet) { return subnet.family() == family; });
      }
      if (flow.sources.empty()) continue;
      const nat::OurPlace place{std::string_view(backend) == "nftables", facts.ours.wanted.yield_marks};
      for (auto& each : nat::contradictions(facts.node.foreign, place, flow))
        found.push_back(std::move(each));
      // Answers are never asked about by our rules, but may be lost.
      auto answers = nat::contradictions(facts.node.foreign, place, nat::answer_to(flow));
      std::erase_if(answers, [](const nat::Contradiction& each) {
        using Kind = nat::Contradiction::Kind;
        return each.kind != Kind::not_known && each.kind != Kind::handed_over;
      });
      std::ranges::move(answers, std::back_inserter(found));
    }
  }
  return found;
}

}  // namespace ipmasq::doctor
