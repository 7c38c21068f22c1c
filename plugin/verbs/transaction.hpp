// The one way in which a call changes a node: step by step, with the way back beside the way there.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "plugin/verbs/node.hpp"
#include "plugin/verbs/plan.hpp"

namespace ipmasq::plugin {

/// Under the exclusive lock. Records come before rules, so that a call that is killed leaves word of what it
/// was about, and new rules before old ones go; the word about a back end that is being left goes when it is
/// clean.
class Transaction {
 public:
  explicit Transaction(Node node) : node_(std::move(node)) {}

  /// Runs `steps`; where they throw, takes back what they did, the last one first, and throws the same. What
  /// cannot be taken back either stays recorded, and the message says so.
  void run(const std::function<void()>& steps);

  /// Each of these is a step.
  void save(const std::string& network, const state::NetworkRecord& record,
            const std::optional<state::NetworkRecord>& before);
  void save(const std::string& network, const state::Attachment& attachment);
  void forget(const std::string& network, const cni::AttachmentId& id);
  void apply(config::Backend backend, const nat::Ruleset& ruleset);
  /// Brings a network from what is recorded of it to what is planned. Whether connections that live are to
  /// follow, once all is done.
  bool settle(const Plan& plan, const std::optional<state::NetworkRecord>& before);

  /// What changed in the kernel, a line each; none the next time.
  std::vector<std::string> take_changes() { return std::exchange(changes_, {}); }

 private:
  std::string roll_back();
  std::set<net::Prefix> subnets_told(const std::string& network) const;
  void take_all_along(const std::optional<state::NetworkRecord>& before, state::NetworkRecord& record,
                      Plan& plan) const;
  std::set<net::Prefix> unrecorded_of(const Plan& plan, std::set<net::Prefix> unrecorded) const;
  void lead_all(const std::optional<state::NetworkRecord>& before, state::NetworkRecord& record,
                Plan& plan) const;
  std::set<net::Prefix> subnets_to_come(const Plan& plan) const;
  void leave_other_backend(const std::string& network, const state::NetworkRecord& on_its_way);

  Node node_;
  std::vector<std::function<void()>> way_back_;
  std::vector<std::string> changes_;
};

/// The last thing that is done of a network whose pods are forgotten and whose rules are gone; nothing where
/// it has pods. The message of what it throws says that files are left, and who removes them.
void forget_network_without_pods(const state::Store& store, const std::string& network);

}  // namespace ipmasq::plugin
