#include "plugin/verbs/neighbours.hpp"

#include <algorithm>
#include <iterator>

#include "error/error.hpp"
#include "plugin/verbs/met_first.hpp"
#include "plugin/verbs/own_address.hpp"

namespace ipmasq::plugin {

namespace {

// Of another network: rules that no record tells of would come back with its next call.
void forget_unrecorded(const Node& node, Transaction& transaction, const std::string& network,
                       const net::Prefix& host) {
  const auto before = node.store.undamaged_record(network);
  if (!before || !before->unrecorded.contains(host)) return;
  auto record = *before;
  record.unrecorded.erase(host);
  transaction.save(network, record, before);
}

}  // namespace

Neighbours::Neighbours(const Node& node, std::string network, const state::Attachment& pod)
    : node_(node),
      network_(std::move(network)),
      pod_(pod),
      others_(other_networks(node.store, network_)),
      subnets_(subnets_of_others(node.store, network_)) {}

bool Neighbours::are_in_our_place() const {
  return !recorded_addresses().empty() || !contested().empty();
}

bool Neighbours::decide(const netfilter::Look& look, config::Backend on, const Plan& plan) const {
  const auto& netconf = *config::netconf_of(plan.configuration);
  const auto is_others = [&](const auto& each) {
    const auto& [address, met] = each;
    const auto own = plan.policies.find(net::host_prefix(address));
    const nat::Owner expected{network_, own == plan.policies.end() ? "" : own->second};
    return !met.empty() && met.front().owner() != expected;
  };
  if (std::ranges::any_of(look.met, is_others)) return true;
  return std::ranges::any_of(config::all_backends, [&](config::Backend backend) {
    const auto meets = [&](const net::InterfaceAddress& pod) {
      return !met_in(node_, backend, pod.address).empty();
    };
    return backend != on && has_a_say(backend, on, netconf) &&
           (!standing_in(node_, backend, network_).empty() || std::ranges::any_of(pod_.addresses, meets));
  });
}

void Neighbours::look(const std::optional<state::NetworkRecord>& before, const config::Netconf& netconf,
                      bool is_new) {
  if (is_new) subnets_.merge(subnets_of_others(node_, network_));
  for (const auto backend : config::all_backends) {
    const bool is_asked =
        !before || before->placement.on == backend || has_a_say(backend, before->placement.on, netconf);
    if (!is_asked) continue;
    for (const auto& pod : pod_.addresses) {
      for (const auto& met : met_in(node_, backend, pod.address)) {
        if (met.network == network_ && !met.policy.empty()) led_by_policy_.insert(met.prefix);
        if (met.network == network_) continue;
        are_met_ = true;
        if (met.network.empty()) continue;
        if (met.prefix.is_host())
          standing_addresses_.emplace(met.network, met.prefix);
        else
          subnets_.insert(met.prefix);
      }
    }
  }
}

std::set<net::Prefix> Neighbours::contested() const {
  if (subnets_.empty()) return {};
  auto both = node_.store.subnets(network_);
  std::erase_if(both, [this](const auto& each) { return !subnets_.contains(each); });
  return both;
}

std::set<Neighbours::Address> Neighbours::recorded_addresses() const {
  const auto any = [](const cni::AttachmentId&) { return true; };
  std::set<Address> found;
  for (const auto& other : others_) {
    for (const auto& pod : pod_.addresses) {
      const auto host = net::host_prefix(pod.address);
      if (node_.store.is_used(other, host, any)) found.emplace(other, host);
    }
  }
  return found;
}

bool Neighbours::has_address_of_ours(const cni::AttachmentId& pod) const {
  return std::ranges::any_of(pod_.addresses, [&](const auto& each) {
    return node_.store.is_used(network_, net::host_prefix(each.address),
                               [&pod](const auto& id) { return id != pod; });
  });
}

std::vector<std::string> Neighbours::take_over(Transaction& transaction, bool within_network) const {
  auto all = recorded_addresses();
  if (within_network && has_address_of_ours(pod_.id)) {
    for (const auto& each : pod_.addresses) all.emplace(network_, net::host_prefix(each.address));
  }
  all.insert(standing_addresses_.begin(), standing_addresses_.end());
  std::vector<std::string> told;
  for (const auto& each : all) std::ranges::move(take_over(transaction, each), std::back_inserter(told));
  return told;
}

std::vector<std::string> Neighbours::take_over(Transaction& transaction, const Address& theirs) const {
  const auto& other = theirs.first;
  const auto& host = theirs.second;
  std::vector<cni::AttachmentId> ids;
  node_.store.is_used(other, host, [&](const auto& id) {
    if (other != network_ || id != pod_.id) ids.push_back(id);
    return false;
  });
  if (other == network_ && ids.empty()) return {};
  std::vector<state::Attachment> without;
  for (const auto& id : ids) {
    auto attachment = node_.store.attachment(other, id);
    if (!attachment) return {};  // damaged: nobody could write it anew
    std::erase(attachment->pod_subnets, host);
    attachment->has_lost_address = attachment->has_lost_address || other == network_;
    without.push_back(*std::move(attachment));
  }
  forget_unrecorded(node_, transaction, other, host);
  for (const auto backend : config::all_backends) {
    if (node_.open(backend)->may_hold_rules()) transaction.apply(backend, {.gone = {{host, other}}});
  }
  const auto follows = ": from now on it follows the rules of network " + network_;
  const auto address = net::to_text(host.address);
  if (without.empty())
    return {"rules of network " + other + " stood for " + address + ", of whose pod nothing is recorded" +
            follows};
  std::vector<std::string> told;
  for (const auto& attachment : without) {
    transaction.save(other, attachment);
    told.push_back(address + " is recorded of " + attachment.id.container_id + " (" +
                   attachment.id.interface + ") in network " + other +
                   " as well, which has ended or has an address that is not its own" + follows);
  }
  return told;
}

// What was done was done, whether that can be seen or not.
std::optional<std::string> Neighbours::still_met_first(const Plan& plan) const {
  if (!are_met_) return std::nullopt;
  try {
    const auto record = node_.store.undamaged_record(network_);
    if (!record) return std::nullopt;
    const auto on = record->placement.on;
    const auto other = met_first(node_, plan, on, pod_);
    if (!other || !other->source) return std::nullopt;
    return other->what() + ": " + other->help(on);
  } catch (const Error& error) {
    return std::string("whether another network's rules are met first cannot be seen: ") + error.what();
  }
}

}  // namespace ipmasq::plugin
