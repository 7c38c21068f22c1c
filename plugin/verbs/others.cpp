#include "plugin/verbs/others.hpp"

#include <algorithm>
#include <functional>

#include "plugin/verbs/transaction.hpp"

namespace ipmasq::plugin {

namespace {

void settle_where_it_moves(const Node& node, const std::string& network) {
  const auto before = node.store.record(network);
  if (!before) return;
  Plan plan{network, config::as_made(before->made_of), node.store.subnets(network), false};
  for (const auto& host : node.store.hosts(network)) plan.pod_subnets.insert(host);
  if (plan.pod_subnets.empty()) return;
  const bool is_settled = !before->placement.leaving &&
                          choose_backend(node, plan, before, netfilter::Tables::stay) == before->placement.on;
  if (is_settled) return;
  Transaction transaction(node);
  transaction.run([&] { transaction.settle(plan, before); });
}

// What a network drops in nftables is to drop nothing of those whose NAT is in iptables.
void let_pass_beside(const Node& node, const std::string& network) {
  const auto is_on = [&node](const std::string& each, config::Backend backend) {
    const auto record = node.store.undamaged_record(each);
    return record && record->placement.on == backend;
  };
  const bool are_apart = is_on(network, config::Backend::nftables) &&
                         std::ranges::any_of(node.store.networks(), [&](const auto& each) {
                           return is_on(each, config::Backend::iptables);
                         });
  if (!are_apart) return;
  Transaction transaction(node);
  transaction.run([&] { transaction.apply(config::Backend::iptables, {}); });
}

}  // namespace

std::vector<std::string> settle_others(const Node& node, const std::string& network) {
  constexpr std::chrono::nanoseconds no_waiting{0};
  const Node impatient{node.kernel, node.store, no_waiting};
  std::vector<std::string> problems;
  const auto attempt = [&problems](const std::string& what, const std::function<void()>& settle) {
    try {
      settle();
    } catch (const std::exception& error) {
      problems.push_back(what + " could not be settled: " + error.what());
    }
  };
  attempt("other networks", [&] {
    for (const auto& other : node.store.networks()) {
      if (other != network) attempt("network " + other, [&] { settle_where_it_moves(impatient, other); });
    }
  });
  attempt("networks in iptables", [&] { let_pass_beside(impatient, network); });
  return problems;
}

}  // namespace ipmasq::plugin
