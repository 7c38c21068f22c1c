#include "plugin/ways/foreign_of_node.hpp"

#include <limits>

#include "netfilter/foreign_rules.hpp"
#include "routing/interface_programs.hpp"

namespace ipmasq::plugin {

namespace {

using routing::InterfaceProgram;
using At = InterfaceProgram::At;

const char* place_of(At at) {
  return at == At::xdp ? "xdp" : at == At::ingress ? "ingress" : "egress";
}

// Before all that netfilter has of what comes in, and behind all that it has of what goes out.
nat::ForeignChain chain_of(const InterfaceProgram& program) {
  using Priority = std::numeric_limits<decltype(nat::ForeignChain::priority)>;
  return {.family = "netdev",
          .table = program.interface,
          .chain = place_of(program.at),
          .priority = program.at == At::egress ? Priority::max() : Priority::min(),
          .hook = program.at == At::egress ? nat::Hook::egress : nat::Hook::ingress,
          .is_nat = false,
          .program = "tc",
          .devices = {program.interface}};
}

}  // namespace

nat::Foreign foreign_of_node() {
  auto foreign = netfilter::foreign_rules();
  for (const auto& program : routing::interface_programs()) {
    const auto chain = chain_of(program);
    if (foreign.chains.empty() || foreign.chains.back() != chain) foreign.chains.push_back(chain);
    foreign.rules.push_back({.program = chain.program,
                             .family = chain.family,
                             .table = chain.table,
                             .chain = chain.chain,
                             .number = program.preference,
                             .comment = program.kind,
                             .is_not_known = true});
  }
  return foreign;
}

}  // namespace ipmasq::plugin
