// What other networks of the node have of a pod's address and of its pod subnets: by what is recorded, and by
// what stands in the kernel, whoever put it there and whatever became of its record.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugin/verbs/node.hpp"
#include "plugin/verbs/plan.hpp"
#include "plugin/verbs/transaction.hpp"

namespace ipmasq::plugin {

/// Of one pod that is being added. Throws Error, as the store and the kernel do.
class Neighbours {
 public:
  Neighbours(const Node& node, std::string network, const state::Attachment& pod);

  /// Whether another network has the pod's address, or a pod subnet of ours, by what is recorded.
  bool are_in_our_place() const;
  /// Whether others, or rules of ours that somebody restored elsewhere, decide over the packets of the pod
  /// instead of the rules of its network and policy, which is on `on`, where `look` was taken. To read
  /// iptables' table beside that costs what all have in it.
  bool decide(const netfilter::Look& look, config::Backend on, const Plan& plan) const;

  /// Looks at what stands in the kernel as well: for the pod's address in the back ends that have a say over
  /// one on `before`'s; where the network is new to a pod subnet, at all that stands.
  void look(const std::optional<state::NetworkRecord>& before, const config::Netconf& netconf, bool is_new);

  /// Pod subnets of other networks that are known by now.
  const std::set<net::Prefix>& subnets() const { return subnets_; }
  /// Addresses of the pod that lead to a policy of its own network.
  const std::set<net::Prefix>& led_by_policy() const { return led_by_policy_; }
  /// Our pod subnets that pods of others lead by as well: each came to them without knowing of the other.
  std::set<net::Prefix> contested() const;

  /// Who comes last has the address: whoever had it has ended, though nobody said so. A line for each that
  /// lost it. `within_network`: of others of the same network as well, which may have another policy.
  std::vector<std::string> take_over(Transaction& transaction, bool within_network) const;
  /// Whether another pod of the same network leads by the pod's address, by what is recorded.
  bool has_address_of_ours(const cni::AttachmentId& pod) const;

  /// Where rules of others that were met decide all the same: what to tell. What cannot be seen is told too.
  std::optional<std::string> still_met_first(const Plan& plan) const;

 private:
  using Address = std::pair<std::string, net::Prefix>;  // a network, and the pod's address as its source

  std::set<Address> recorded_addresses() const;
  std::vector<std::string> take_over(Transaction& transaction, const Address& theirs) const;

  Node node_;
  std::string network_;
  const state::Attachment& pod_;     // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members)
  std::vector<std::string> others_;  // networks that something is recorded of
  std::set<net::Prefix> subnets_;
  std::set<Address> standing_addresses_;
  std::set<net::Prefix> led_by_policy_;
  bool are_met_ = false;  // packets from the pod's address meet rules of others, or met them
};

}  // namespace ipmasq::plugin
