// What is wanted of the kernel, from what is recorded: every verb and command asks here.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "config/netconf.hpp"
#include "nat/ruleset.hpp"
#include "netfilter/kernel.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

using Recorded = std::map<std::string, state::Network>;

class Wanted {
 public:
  /// Of all networks, whichever back end carries them.
  nat::Ruleset all() const { return nat::wanted_ruleset(networks_); }
  /// Of one back end: a network's rules are wanted of the one that its record names, and of no other.
  nat::Ruleset of(netfilter::Backend backend) const;

  /// Whether a network's record names the back end as the one that carries its rules.
  bool is_used(netfilter::Backend backend) const;
  /// Whether a network is on its way away from it.
  bool is_left(netfilter::Backend backend) const;
  /// Whether a network has no record, so that its rules may be anywhere.
  bool has_unplaced() const { return places_.size() < networks_.size(); }

  /// Why rules of a network cannot be said, and so stay as they are; by network.
  const std::map<std::string, std::string>& problems() const { return problems_; }
  /// The networks that are recorded, with their configuration.
  const std::vector<nat::Network>& networks() const { return networks_; }
  /// What of the networks' configuration files is not understood, and left alone; each once.
  const std::set<std::string>& warnings() const { return warnings_; }

 private:
  friend Wanted wanted_of(const Recorded& recorded);

  std::vector<nat::Network> networks_;
  // Of a network's record.
  struct Place {
    std::string backend;
    std::string leaving;
  };

  std::map<std::string, Place> places_;
  std::map<std::string, std::string> problems_;
  std::set<std::string> warnings_;
};

Wanted wanted_of(const Recorded& recorded);

}  // namespace ipmasq::plugin
