// Which network's rules a pod's packets meet first, by what stands in both back ends.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nat/ruleset.hpp"
#include "plugin/verbs/node.hpp"
#include "plugin/verbs/plan.hpp"

namespace ipmasq::plugin {

/// What helps where two networks have pods of one subnet in two back ends.
inline constexpr auto same_backend =
    "the same \"backend\" for both networks, or neither: \"auto\" keeps all networks of a node together; "
    "then "
    "ip-masq sync";

/// Rules of another network that decide over a pod's packets.
struct MetFirst {
  net::Address address;  ///< of the pod
  config::Backend backend = config::Backend::nftables;
  std::optional<nat::Source> source = {};  ///< none where no rule of any network leads on from there;
                                           ///< without a network where somebody made it lead elsewhere

  /// "packets of 10.244.1.6 meet rules of network other first, 10.244.1.0/24 in nftables".
  std::string what() const;
  /// What helps a network that is on `on`.
  std::string help(config::Backend on) const;
};

/// Whether packets that the rules of a network on `on` let go are asked about in the other back end as well,
/// or before: nftables comes first, and iptables is asked about what nftables lets go.
bool has_a_say(config::Backend other, config::Backend on, const config::Netconf& netconf);

/// The sources of ours in a back end that packets from an address meet, see NatBackend::met_by. Makes no
/// table. Throws Error.
std::vector<nat::Source> met_in(const Node& node, config::Backend backend, const net::Address& pod);

/// nullopt where the rules of the attachment's own network, which is on `on`, decide over all of its
/// addresses. Throws Error.
std::optional<MetFirst> met_first(const Node& node, const Plan& plan, config::Backend on,
                                  const state::Attachment& attachment);

}  // namespace ipmasq::plugin
