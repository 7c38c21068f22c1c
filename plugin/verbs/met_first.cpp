#include "plugin/verbs/met_first.hpp"

#include <algorithm>
#include <vector>

namespace ipmasq::plugin {

namespace {

std::vector<nat::Source> sources_in(const Node& node, config::Backend backend) {
  const auto opened = node.open(backend);
  return opened->may_hold_rules() ? opened->sources() : std::vector<nat::Source>{};
}

// As where pod subnets are made of a pod's addresses.
bool needs_no_rules(const net::Address& address) {
  return address.is_loopback() || (address.family == net::Family::ipv6 && address.is_link_local());
}

}  // namespace

std::string MetFirst::what() const {
  const auto packets = "packets of " + net::to_text(address);
  if (!source) return packets + " meet no rule that leads to their network, in " + config::to_text(backend);
  return packets + " meet rules of network " + source->network + " first, " + net::to_text(source->prefix) +
         " in " + config::to_text(backend);
}

std::string MetFirst::help(config::Backend on) const {
  if (on != backend) return same_backend;
  const bool is_one_address = source && source->prefix.length == net::bits(address.family);
  return is_one_address
             ? "two pods have this address by what is recorded: a DEL of the one that ended, or a GC of its "
               "network, or an ADD of the one that lives, puts it right"
             : "ip-masq sync, or an ADD of the same container, puts it right";
}

bool has_a_say(config::Backend other, config::Backend on, const config::Netconf& netconf) {
  const bool lets_go = !netconf.catch_all || netconf.exemption == config::Exemption::return_;
  return other != on && (on == config::Backend::iptables || lets_go);
}

std::optional<MetFirst> met_first(const Node& node, const Plan& plan, config::Backend on,
                                  const state::Attachment& attachment) {
  for (const auto backend : config::all_backends) {
    if (backend != on && !has_a_say(backend, on, plan.configuration->netconf)) continue;
    const auto sources = sources_in(node, backend);
    for (const auto& pod : attachment.addresses) {
      const auto host = net::network_of(pod.address, net::bits(pod.address.family));
      if (needs_no_rules(pod.address)) continue;
      const auto first =
          std::ranges::find_if(sources, [&host](const auto& each) { return each.prefix.contains(host); });
      if (first == sources.end() && backend == on) return MetFirst{pod.address, backend};
      if (first != sources.end() && first->network != plan.network)
        return MetFirst{pod.address, backend, *first};
    }
  }
  return std::nullopt;
}

}  // namespace ipmasq::plugin
