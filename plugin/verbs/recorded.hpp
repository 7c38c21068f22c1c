// All that is recorded of a node, with the configuration in force: for whoever looks at every network.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/shared_configuration.hpp"
#include "nat/ruleset.hpp"
#include "plugin/verbs/plan.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

struct RecordedNetwork {
  state::Network stored;
  config::SharedConfiguration configuration;  ///< null where nothing good is known of it
  /// Of its attachments those that lead by their own addresses from now on, to be recorded so.
  std::vector<state::Attachment> led_anew = {};
  std::set<net::Prefix> shared_anew = {};  ///< that they leave to others by that: other networks, LANs
  std::map<net::Prefix, std::string> policies = {};  ///< of addresses, as nat::Network has them
  std::vector<std::string> problems = {};            ///< what is wrong with its records, a line each; what
                                                     ///< of them could not be read is told in `stored`

  /// Where a later version wrote its record, what that says: no call of this one touches the network.
  std::optional<std::string> written_later = {};

  /// None where there is no configuration.
  std::optional<Plan> plan() const;
  /// "nftables", "iptables"; empty where it is not recorded.
  std::string backend() const;
};

using Recorded = std::map<std::string, RecordedNetwork>;

/// Reads every record, and each network's files once. Throws Error where the store cannot be read.
Recorded read_recorded(const state::Store& store);

/// The same where one network had another configuration.
Recorded configured_otherwise(Recorded recorded, const std::string& network,
                              config::SharedConfiguration configuration);

/// Leaves pod subnets that are a LAN of this node by now, whose other hosts are no pods, to these: pods lead
/// by their own addresses from now on. Asks the kernel once for each. Throws Error.
void leave_lans(RecordedNetwork& network);

/// The same with pod subnets of other networks that stand in the kernel though nothing is recorded of them:
/// their pods may live.
void leave_standing(Recorded& recorded, const std::vector<nat::Source>& unrecorded);

/// What is wanted of the node, whichever back ends carry it.
nat::Ruleset ruleset_of(const Recorded& recorded);
/// What is wanted of one back end: every network decided whose configuration is known, with sources where it
/// is on it.
nat::Ruleset ruleset_of(const Recorded& recorded, config::Backend backend);

/// Pod subnets of `network` whose rules stand in the kernel, less what of them `known` covers: of pods whose
/// record was lost, or those of another stateDir. Makes no table. Throws Error.
std::set<net::Prefix> standing_beside(const std::set<net::Prefix>& known, const std::string& network,
                                      const Node& node);

/// Sources of ours that stand in the kernel and that nothing is recorded of. Makes no table. Throws Error.
std::vector<nat::Source> unrecorded_sources(const Node& node, const Recorded& recorded);

}  // namespace ipmasq::plugin
