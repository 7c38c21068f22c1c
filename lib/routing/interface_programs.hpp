// What is asked about packets at an interface beside netfilter: filters of tc, and XDP programs, which may do
// anything to them. linux/pkt_sched.h, linux/pkt_cls.h, linux/if_link.h.
#pragma once

#include <string>
#include <vector>

namespace ipmasq::routing {

struct InterfaceProgram {
  enum class At { xdp, ingress, egress };

  std::string interface;
  At at = At::ingress;
  unsigned preference = 0;  ///< of tc, which tells filters apart by it
  std::string kind = {};    ///< of tc: "u32", "bpf cil_to_netdev"; of XDP: "xdp", "xdpgeneric", "xdpoffload"

  bool operator==(const InterfaceProgram&) const = default;
};

/// Of all interfaces, in the kernel's order. What only hands packets through an ifb, which is how the
/// bandwidth plugin limits a pod's rate, is none. Of programs that are attached as BPF links netlink does not
/// tell. Throws Error{failed}.
std::vector<InterfaceProgram> interface_programs();

}  // namespace ipmasq::routing
