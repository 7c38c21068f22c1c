#include "plugin/ways/cut_off_pods.hpp"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "nat/foreign_rule.hpp"
#include "os/file.hpp"
#include "routing/node_addresses.hpp"
#include "routing/pod_route.hpp"
#include "routing/route_question.hpp"

namespace ipmasq::plugin {

namespace {

using doctor::CutOff;
using nat::shell_word;

// Of one look.
class LastSteps {
 public:
  explicit LastSteps(const std::vector<PodOnNode>& pods) {
    for (const auto& pod : pods) of_pods_.insert(pod.interfaces.begin(), pod.interfaces.end());
    const auto addresses = routing::node_addresses();
    of_node_ = {addresses.begin(), addresses.end()};
  }

  std::vector<CutOff> of(const PodOnNode& pod) {
    std::vector<CutOff> found;
    const auto bridge = bridge_among(pod.interfaces);
    if (!bridge.empty() && !link_of(bridge)->is_up) {
      found.push_back(
          {.why = "its bridge " + bridge + " is down", .fix = {"ip link set " + shell_word(bridge) + " up"}});
      for (const auto& address : pod.attachment.addresses) found.back().pods.push_back(address.address);
      return found;
    }
    if (auto broken = of_interfaces(pod.interfaces, bridge)) {
      for (const auto& address : pod.attachment.addresses) broken->pods.push_back(address.address);
      found.push_back(*std::move(broken));
    }
    for (const auto& address : pod.attachment.addresses) {
      for (const auto& gateway : pod.gateways) {
        const bool is_its = gateway.family == address.address.family && address.network().contains(gateway);
        if (!is_its || bridge.empty() || is_answered_for(gateway, bridge) || leads_on(bridge)) continue;
        found.push_back(of_gateway(bridge, {gateway, address.length}));
        found.back().pods = {address.address};
      }
    }
    return found;
  }

 private:
  const std::optional<routing::LinkState>& link_of(const std::string& name) {
    const auto known = links_.find(name);
    return known != links_.end() ? known->second
                                 : links_.emplace(name, routing::link_state(name)).first->second;
  }

  std::string bridge_among(const std::vector<std::string>& interfaces) {
    const auto found = std::ranges::find_if(interfaces, [this](const auto& each) {
      const auto& link = link_of(each);
      return link && link->is_bridge;
    });
    return found == interfaces.end() ? "" : *found;
  }

  // Whether this node has it, or answers ARP for what it can reach.
  bool is_answered_for(const net::Address& gateway, const std::string& bridge) const {
    if (of_node_.contains(gateway)) return true;
    const auto route = routing::ask_for_route({.source = {gateway.family, {}}, .destination = gateway});
    if (route.type == RTN_LOCAL) return true;
    const bool is_ipv4 = gateway.family == net::Family::ipv4;
    const std::string settings = is_ipv4 ? "/proc/sys/net/ipv4/conf/" : "/proc/sys/net/ipv6/conf/";
    return std::ranges::any_of(std::array{std::string("all"), bridge}, [&](const std::string& each) {
      const auto* const name = is_ipv4 ? "/proxy_arp" : "/proxy_ndp";
      return os::read_file(settings + each + name).value_or("").starts_with("1");
    });
  }

  // Behind a port that is no recorded pod's, another host may be the gateway.
  bool leads_on(const std::string& bridge) {
    const auto devices = routing::devices_of(bridge);
    return std::ranges::any_of(
        devices, [&](const std::string& each) { return each != bridge && !of_pods_.contains(each); });
  }

  // Of a pod's own, which is one veth; others beside it (an ifb that limits its bandwidth) are not its way.
  std::optional<CutOff> of_interfaces(const std::vector<std::string>& interfaces, const std::string& bridge) {
    std::optional<CutOff> broken;
    bool is_any = false;
    const auto gone = std::ranges::find_if(interfaces, [this](const auto& each) { return !link_of(each); });
    const bool is_any_gone = gone != interfaces.end();
    for (const auto& name : interfaces) {
      const auto& link = link_of(name);
      if (!link || link->is_bridge) continue;
      is_any = true;
      if (!link->is_veth) continue;
      auto its = of_veth(name, *link, bridge.empty() && is_any_gone ? *gone : bridge);
      if (!its) return std::nullopt;
      if (!broken) broken = std::move(its);
    }
    if (is_any || !is_any_gone) return broken;
    return CutOff{.why = "its interface " + *gone + " is gone",
                  .fix = {"# nothing brings it back: delete the pod, for its runtime to attach another one"}};
  }

  static std::optional<CutOff> of_veth(const std::string& name, const routing::LinkState& link,
                                       const std::string& bridge) {
    if (!link.is_up) {
      return CutOff{.why = "its interface " + name + " is down",
                    .fix = {"ip link set " + shell_word(name) + " up"}};
    }
    if (bridge.empty() || link.master == bridge) return std::nullopt;
    return CutOff{.why = "its interface " + name + " is no port of " + bridge,
                  .fix = {"ip link set " + shell_word(name) + " master " + shell_word(bridge),
                          "# with hairpinMode: bridge link set dev " + shell_word(name) + " hairpin on"}};
  }

  static CutOff of_gateway(const std::string& bridge, const net::InterfaceAddress& gateway) {
    const bool is_ipv6 = gateway.address.family == net::Family::ipv6;
    CutOff found{.why = "its gateway " + net::to_text(gateway.address) + " is no address of this node"};
    const auto setting = "net/ipv6/conf/" + bridge + "/disable_ipv6";
    if (is_ipv6 && os::read_file("/proc/sys/" + setting).value_or("").starts_with("1")) {
      found.why += ", since IPv6 is off on " + bridge;
      found.fix.push_back("sysctl -w " + shell_word(setting + "=0"));
    }
    found.fix.push_back("ip address add " + net::to_text(gateway) + " dev " + shell_word(bridge) +
                        (is_ipv6 ? " nodad" : ""));
    return found;
  }

  std::set<std::string> of_pods_;
  std::set<net::Address> of_node_;
  std::map<std::string, std::optional<routing::LinkState>> links_;
};

}  // namespace

std::vector<CutOff> cut_off_pods(const std::vector<PodOnNode>& pods) {
  std::vector<CutOff> found;
  LastSteps steps(pods);
  for (const auto& pod : pods) std::ranges::move(steps.of(pod), std::back_inserter(found));
  return found;
}

}  // namespace ipmasq::plugin
