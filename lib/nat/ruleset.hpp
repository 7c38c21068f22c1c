// What ip-masq wants of a node's NAT, whichever back end carries it out: config x attachments -> ruleset.
#pragma once

#include <compare>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/mark.hpp"
#include "config/netconf.hpp"
#include "config/port_range.hpp"
#include "net/address.hpp"

namespace ipmasq::nat {

/// One network of the node, as recorded.
struct Network {
  std::string name;
  config::Netconf netconf = {};
  std::vector<net::Prefix> cluster_networks = {};  ///< from flannel's subnet.env
  std::set<net::Prefix> pod_subnets = {};          ///< of its attachments; none: the network needs no rules
  bool is_known = true;                            ///< whether these are all of its attachments
};

enum class Verdict { keep, masquerade };

/// A destination, what becomes of the pod's address there, and which key says so.
struct Destination {
  net::Prefix prefix;
  Verdict verdict = Verdict::keep;
  std::string origin;

  auto operator<=>(const Destination&) const = default;
};

/// What a masqueraded connection gets as its source.
struct Translation {
  bool random_fully = true;
  std::vector<config::PortRange> to_ports;  ///< none: whatever port the kernel picks
  std::optional<net::Address> snat_to;      ///< none: the address of the outgoing interface

  bool operator==(const Translation&) const = default;
};

struct PodSubnet {
  net::Prefix prefix;
  std::string network;
  std::vector<Destination> destinations;  ///< longest prefix first: the first that holds an address decides
  bool catch_all = true;                  ///< masquerade what no destination holds
  config::Exemption exemption = config::Exemption::hold;
  Translation translation;

  bool operator==(const PodSubnet&) const = default;
};

struct Ruleset {
  std::vector<config::Mark> yield_marks;  ///< of all networks, each once
  std::vector<PodSubnet> pod_subnets =
      {};  ///< longest prefix first, then by network: the first that holds a source decides
  /// Networks whose attachments are all known. What the kernel has for another network stays as it is: its
  /// pods may be alive although their record was lost.
  std::set<std::string> known_networks;

  bool operator==(const Ruleset&) const = default;
};

/// The one function that says what is wanted. Networks by name, each once.
Ruleset wanted_ruleset(const std::vector<Network>& networks);

}  // namespace ipmasq::nat
