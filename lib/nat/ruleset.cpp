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

Destinations node_wide_destinations(const Network& network, const config::PodKeys& keys, Family family) {
  Destinations destinations(family);
  const config::Origin flannels = "flannel's network, " + network.netconf->subnet_file.string();
  for (const auto& cluster : network.cluster_networks) {
    destinations.add(cluster, Verdict::keep, flannels);
  }
  destinations.add(keys.masquerade, Verdict::masquerade);
  destinations.add(keys.non_masquerade, Verdict::keep);

  const auto link_local = [](bool masquerade) { return masquerade ? Verdict::masquerade : Verdict::keep; };
  destinations.add(constant_prefix("169.254.0.0/16"), link_local(keys.masquerade_link_local),
                   keys.link_local_by);
  destinations.add(constant_prefix("fe80::/10"), link_local(keys.masquerade_link_local_ipv6),
                   keys.link_local_ipv6_by);
  // No answer to a multicast goes through NAT.
  destinations.add(constant_prefix("224.0.0.0/4"), Verdict::keep, "multicast, always");
  destinations.add(constant_prefix("ff00::/8"), Verdict::keep, "multicast, always");
  return destinations;
}

// The pods of one network and family see one another, whatever the lists say. A single pod's own address
// reaches nobody but itself.
NetworkChain chain_of(const Network& network, const std::string& policy, const config::PodKeys& keys,
                      Family family) {
  auto destinations = node_wide_destinations(network, keys, family);
  auto subnets = network.pod_subnets;
  subnets.insert(network.shared_subnets.begin(), network.shared_subnets.end());
  for (const auto& subnet : subnets) {
    if (subnet.family() != family || subnet.is_host() || destinations.keeps(subnet)) continue;
    destinations.add(subnet, Verdict::keep, "the pod subnet itself, always");
  }
  std::vector<Prefix> shared;
  std::ranges::copy_if(subnets, std::back_inserter(shared), [&](const auto& each) {
    const bool leads_elsewhere = !policy.empty() || !network.pod_subnets.contains(each);
    return each.family() == family && !each.is_host() && leads_elsewhere;
  });
  const auto& snat_to = family == Family::ipv4 ? keys.snat_to.ipv4 : keys.snat_to.ipv6;
  return {.network = network.name,
          .family = family,
          .destinations = destinations.longest_first(),
          .catch_all = keys.catch_all,
          .exemption = keys.exemption,
          .drops_invalid = keys.drop_invalid,
          .translation = {keys.random_fully, keys.to_ports, snat_to.everywhere, snat_to.by_interface},
          .shared_subnets = std::move(shared),
          .policy = policy,
          .catch_all_by = keys.catch_all_by};
}

Source source_of(const Network& network, const Prefix& subnet) {
  const auto found = network.policies.find(subnet);
  const auto& policies = network.netconf->policies;
  const bool is_led_by_policy =
      found != network.policies.end() && subnet.is_host() &&
      std::ranges::find(policies, found->second, &config::Policy::name) != policies.end();
  return {subnet, network.name, is_led_by_policy ? found->second : ""};
}

// Chains stand where a source leads there: of a network whose sources are not all known that may be any.
void add_chains(const Network& network, Family family, Ruleset& ruleset) {
  std::set<std::string> led_to;
  bool may_lead_to_any = network.has_more;
  for (const auto& source : ruleset.sources) {
    if (source.network != network.name || source.prefix.family() != family) continue;
    led_to.insert(source.policy);
    may_lead_to_any = may_lead_to_any || ruleset.of_unknown_policy.contains(source);
  }
  if (network.has_more || !led_to.empty())
    ruleset.chains.push_back(chain_of(network, "", *network.netconf, family));
  for (const auto& policy : network.netconf->policies) {
    if (may_lead_to_any || led_to.contains(policy.name))
      ruleset.chains.push_back(chain_of(network, policy.name, policy.keys, family));
  }
}

void add_network(const Network& network, Ruleset& ruleset) {
  ruleset.networks.insert(network.name);
  for (const auto& subnet : network.pod_subnets) {
    const bool is_unknown =
        subnet.is_host() && !network.netconf->policies.empty() && !network.policies.contains(subnet);
    if (is_unknown) ruleset.of_unknown_policy.insert({subnet, network.name});
    ruleset.sources.push_back(source_of(network, subnet));
  }
  for (const auto family : {Family::ipv4, Family::ipv6}) add_chains(network, family, ruleset);
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

std::string to_text(const Owner& owner) {
  return owner.policy.empty() ? owner.network : owner.network + "/" + owner.policy;
}

Owner parse_owner(std::string_view text) {
  const auto slash = std::min(text.find('/'), text.size());
  return {std::string(text.substr(0, slash)), std::string(text.substr(std::min(slash + 1, text.size())))};
}

std::string told(const Owner& owner) {
  return "network " + owner.network + (owner.policy.empty() ? "" : " (policy " + owner.policy + ")");
}

bool comes_first(const Source& left, const Source& right) {
  return left.prefix != right.prefix ? comes_first(left.prefix, right.prefix) : left.owner() < right.owner();
}

std::vector<Source> wanted_sources(const std::vector<Source>& standing, const Ruleset& ruleset) {
  auto sources = ruleset.sources;
  if (ruleset.of_unknown_policy.empty()) return sources;
  std::map<Source, std::string> policies;
  for (const auto& each : standing) policies.try_emplace({each.prefix, each.network}, each.policy);
  for (auto& source : sources) {
    if (!ruleset.of_unknown_policy.contains(source)) continue;
    const auto found = policies.find(source);
    if (found == policies.end()) continue;
    const Owner owner{source.network, found->second};
    if (std::ranges::find(ruleset.chains, owner, &NetworkChain::owner) != ruleset.chains.end())
      source.policy = found->second;
  }
  return sources;
}

Staying::Staying(const Ruleset& ruleset, const std::vector<Source>& wanted) : ruleset_(ruleset) {
  for (const auto& source : wanted) policies_.try_emplace({source.prefix, source.network}, source.policy);
}

bool Staying::stays(const Source& standing) const {
  const Source without{standing.prefix, standing.network};
  if (ruleset_.gone.contains(without)) return false;
  if (ruleset_.networks.contains(standing.network) && ruleset_.has_all_sources) return false;
  const auto found = policies_.find(without);
  return found == policies_.end() || found->second == standing.policy;
}

std::vector<Source> sources_after(const std::vector<Source>& standing, const Ruleset& ruleset) {
  std::set<Source> sources;
  const auto wanted = wanted_sources(standing, ruleset);
  const Staying staying(ruleset, wanted);
  for (const auto& source : standing) {
    if (staying.stays(source)) sources.insert(sources.end(), source);  // in order, mostly
  }
  sources.insert(wanted.begin(), wanted.end());
  return {sources.begin(), sources.end()};
}

Ruleset wanted_ruleset(const std::vector<Network>& networks) {
  Ruleset ruleset;
  for (const auto& network : networks) add_network(network, ruleset);
  std::ranges::sort(ruleset.sources,
                    [](const Source& left, const Source& right) { return comes_first(left, right); });
  std::ranges::sort(ruleset.chains, [](const NetworkChain& left, const NetworkChain& right) {
    return std::tie(left.network, left.policy, left.family) <
           std::tie(right.network, right.policy, right.family);
  });
  return ruleset;
}

}  // namespace ipmasq::nat
