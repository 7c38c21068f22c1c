#include "nat/ruleset.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "config/netconf.hpp"
#include "nat/network.hpp"

namespace ipmasq::nat {

namespace {

using net::Family;
using net::Prefix;

Prefix constant_prefix(std::string_view text) {
  return net::parse_interface_address(text)->network();  // NOLINT(bugprone-unchecked-optional-access)
}

bool comes_first(const Prefix& left, const Prefix& right) {
  return std::tuple(right.length, left.address) < std::tuple(left.length, right.address);
}

// Destinations of one family, by prefix; of two sources that list the same prefix, the first to add it
// decides.
class Destinations {
 public:
  explicit Destinations(Family family) : family_(family) {}

  void add(const Prefix& prefix, Verdict verdict, const config::Origin& origin) {
    if (prefix.family() == family_) by_prefix_.try_emplace(prefix, Destination{prefix, verdict, origin});
  }

  void add(const std::vector<config::ListedPrefix>& list, Verdict verdict) {
    for (const auto& listed : list) add(listed.prefix, verdict, listed.origin);
  }

  bool keeps(const Prefix& prefix) const {
    const Destination* longest = nullptr;
    for (const auto& [each, destination] : by_prefix_) {
      if (each.contains(prefix) && (longest == nullptr || each.length > longest->prefix.length))
        longest = &destination;
    }
    return longest != nullptr && longest->verdict == Verdict::keep;
  }

  std::vector<Destination> longest_first() const {
    std::vector<Destination> ordered;
    ordered.reserve(by_prefix_.size());
    for (const auto& [prefix, destination] : by_prefix_) ordered.push_back(destination);
    std::ranges::sort(ordered, comes_first, &Destination::prefix);
    return ordered;
  }

 private:
  Family family_;
  std::map<Prefix, Destination> by_prefix_;
};

Destinations node_wide_destinations(const Network& network, Family family) {
  Destinations destinations(family);
  const config::Origin flannels = "flannel's network, " + network.netconf->subnet_file.string();
  for (const auto& cluster : network.cluster_networks) {
    destinations.add(cluster, Verdict::keep, flannels);
  }
  destinations.add(network.netconf->masquerade, Verdict::masquerade);
  destinations.add(network.netconf->non_masquerade, Verdict::keep);

  const auto link_local = [](bool masquerade) { return masquerade ? Verdict::masquerade : Verdict::keep; };
  destinations.add(constant_prefix("169.254.0.0/16"), link_local(network.netconf->masquerade_link_local),
                   "masqLinkLocal");
  destinations.add(constant_prefix("fe80::/10"), link_local(network.netconf->masquerade_link_local_ipv6),
                   "masqLinkLocalIPv6");
  // No answer to a multicast goes through NAT.
  destinations.add(constant_prefix("224.0.0.0/4"), Verdict::keep, "multicast, always");
  destinations.add(constant_prefix("ff00::/8"), Verdict::keep, "multicast, always");
  return destinations;
}

// The pods of one network and family see one another, whatever the lists say. A single pod's own address
// reaches nobody but itself.
NetworkChain chain_of(const Network& network, Family family) {
  auto destinations = node_wide_destinations(network, family);
  auto subnets = network.pod_subnets;
  subnets.insert(network.shared_subnets.begin(), network.shared_subnets.end());
  for (const auto& subnet : subnets) {
    if (subnet.family() != family || subnet.is_host() || destinations.keeps(subnet)) continue;
    destinations.add(subnet, Verdict::keep, "the pod subnet itself, always");
  }
  std::vector<Prefix> shared;
  std::ranges::copy_if(network.shared_subnets, std::back_inserter(shared), [&](const auto& each) {
    return each.family() == family && !network.pod_subnets.contains(each);
  });
  const auto& netconf = *network.netconf;
  const auto& snat_to = family == Family::ipv4 ? netconf.snat_to.ipv4 : netconf.snat_to.ipv6;
  return {.network = network.name,
          .family = family,
          .destinations = destinations.longest_first(),
          .catch_all = netconf.catch_all,
          .exemption = netconf.exemption,
          .drops_invalid = netconf.drop_invalid,
          .translation = {netconf.random_fully, netconf.to_ports, snat_to.everywhere, snat_to.by_interface},
          .shared_subnets = std::move(shared)};
}

void add_network(const Network& network, Ruleset& ruleset) {
  ruleset.networks.insert(network.name);
  for (const auto& subnet : network.pod_subnets) ruleset.sources.push_back({subnet, network.name});
  for (const auto family : {Family::ipv4, Family::ipv6}) {
    const bool is_needed =
        network.has_more || std::ranges::any_of(network.pod_subnets, [family](const auto& each) {
          return each.family() == family;
        });
    if (is_needed) ruleset.chains.push_back(chain_of(network, family));
  }
  if (network.pod_subnets.empty() && !network.has_more) return;
  for (const auto& mark : network.netconf->yield_marks) {
    if (std::ranges::find(ruleset.yield_marks, mark) == ruleset.yield_marks.end())
      ruleset.yield_marks.push_back(mark);
  }
}

}  // namespace

std::optional<net::Range> Translation::source_by(const std::optional<std::string>& interface) const {
  const auto found = interface ? snat_to_by_interface.find(*interface) : snat_to_by_interface.end();
  return found == snat_to_by_interface.end() ? snat_to : found->second;
}

std::vector<net::Range> Translation::sources() const {
  std::vector<net::Range> all;
  if (snat_to) all.push_back(*snat_to);
  for (const auto& [interface, to] : snat_to_by_interface) all.push_back(to);
  return all;
}

bool comes_first(const Source& left, const Source& right) {
  return left.prefix != right.prefix ? comes_first(left.prefix, right.prefix) : left.network < right.network;
}

std::vector<Source> sources_after(const std::vector<Source>& standing, const Ruleset& ruleset) {
  std::set<Source> sources;
  for (const auto& source : standing) {
    const bool is_decided = ruleset.networks.contains(source.network) && ruleset.has_all_sources;
    if (!is_decided && !ruleset.gone.contains(source))
      sources.insert(sources.end(), source);  // in order, mostly
  }
  sources.insert(ruleset.sources.begin(), ruleset.sources.end());
  return {sources.begin(), sources.end()};
}

Ruleset wanted_ruleset(const std::vector<Network>& networks) {
  Ruleset ruleset;
  for (const auto& network : networks) add_network(network, ruleset);
  std::ranges::sort(ruleset.sources,
                    [](const Source& left, const Source& right) { return comes_first(left, right); });
  std::ranges::sort(ruleset.chains, [](const NetworkChain& left, const NetworkChain& right) {
    return std::tie(left.network, left.family) < std::tie(right.network, right.family);
  });
  return ruleset;
}

}  // namespace ipmasq::nat
