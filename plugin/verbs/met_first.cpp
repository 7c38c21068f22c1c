#include "plugin/verbs/met_first.hpp"

#include <algorithm>

#include "config/in_force.hpp"

namespace ipmasq::plugin {

namespace {

// As where pod subnets are made of a pod's addresses.
bool needs_no_rules(const net::Address& address) {
  return address.is_loopback() || (address.family == net::Family::ipv6 && address.is_link_local());
}

}  // namespace

std::string MetFirst::what() const {
  const auto packets = "packets of " + net::to_text(address);
  if (!source) return packets + " meet no rule that leads to their network, in " + config::to_text(backend);
  const auto whose =
      source->network.empty() ? "what somebody put among our rules" : "rules of network " + source->network;
  return packets + " meet " + whose + " first, " + net::to_text(source->prefix) + " in " +
         config::to_text(backend);
}

std::string MetFirst::help(config::Backend on) const {
  if (on != backend) return same_backend;
  const bool is_one_address =
      source && !source->network.empty() && source->prefix.length == net::bits(address.family);
  return is_one_address
             ? "two pods have this address by what is recorded: a DEL of the one that ended, or a GC of its "
               "network, or an ADD of the one that lives, puts it right"
             : "ip-masq sync, or an ADD of the same container, puts it right";
}

bool has_a_say(config::Backend other, config::Backend on, const config::Netconf& netconf) {
  const bool lets_any_go =
      lets_go(netconf) || std::ranges::any_of(netconf.policies, [](const config::Policy& policy) {
        return lets_go(policy.keys);
      });
  return other != on && (on == config::Backend::iptables || lets_any_go);
}

std::vector<nat::Source> met_in(const Node& node, config::Backend backend, const net::Address& pod) {
  auto* const opened = node.open(backend);
  return opened->may_hold_rules() ? opened->met_by(pod) : std::vector<nat::Source>{};
}

std::optional<MetFirst> met_first(const Node& node, const Plan& plan, config::Backend on,
                                  const state::Attachment& attachment) {
  for (const auto backend : config::all_backends) {
    if (backend != on && !has_a_say(backend, on, plan.configuration->netconf)) continue;
    for (const auto& pod : attachment.addresses) {
      if (needs_no_rules(pod.address)) continue;
      const auto met = met_in(node, backend, pod.address);
      if (met.empty() && backend == on) return MetFirst{pod.address, backend};
      if (!met.empty() && met.front().network != plan.network)
        return MetFirst{pod.address, backend, met.front()};
    }
  }
  return std::nullopt;
}

}  // namespace ipmasq::plugin
