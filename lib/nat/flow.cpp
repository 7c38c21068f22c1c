#include "nat/flow.hpp"

namespace ipmasq::nat {

Flow later_in(const Flow& flow) {
  auto later = flow;
  later.state = connection_state::established;
  return later;
}

Flow answer_to(const Flow& flow) {
  const auto family = flow.sources.front().family();
  const auto answering = flow.destination ? net::network_of(*flow.destination, net::bits(family))
                                          : net::network_of(net::Address{family, {}}, 0);
  const bool are_some = !flow.destination && !flow.destinations.empty();
  return {.sources = are_some ? flow.destinations : std::vector{answering},
          .in_interface = flow.out_interface,
          .out_interface = flow.in_interface,
          .in_devices = flow.out_devices,
          .out_devices = flow.in_devices,
          .node_addresses = flow.node_addresses,
          .destinations = flow.sources,
          .protocol = flow.protocol,
          .state = connection_state::established,
          .comes_back = true,
          .translated = flow.translated};
}

}  // namespace ipmasq::nat
