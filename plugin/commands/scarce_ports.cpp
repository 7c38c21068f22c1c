#include "plugin/commands/scarce_ports.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "error/error.hpp"
#include "nat/explain.hpp"
#include "netfilter/conntrack.hpp"

namespace ipmasq::plugin {

namespace {

std::uint64_t ports_of(const nat::NetworkChain& chain) {
  constexpr std::uint64_t unprivileged = 65'536 - 1'024;  // what NAT takes where nothing is said
  if (chain.translation.to_ports.empty()) return unprivileged;
  std::uint64_t sum = 0;
  for (const auto& range : chain.translation.to_ports) sum += range.size();
  return sum;
}

// Nine tenths of them: a new connection finds a free one by chance alone.
bool are_scarce(std::uint64_t used, std::uint64_t all) {
  return used * 10 >= all * 9;
}

std::string text_of(const netfilter::PortUse& use) {
  return std::string(use.protocol == IPPROTO_TCP ? "tcp" : "udp") + " from " + net::to_text(use.seen) +
         " to " + net::to_text(use.host) + " port " + std::to_string(use.port);
}

std::vector<doctor::UsedPorts> scarce_ports(const nat::Ruleset& wanted) {
  std::uint64_t fewest = std::numeric_limits<std::uint64_t>::max();
  for (const auto& chain : wanted.chains) fewest = std::min(fewest, ports_of(chain));
  if (wanted.chains.empty()) return {};
  std::vector<doctor::UsedPorts> scarce;
  for (const auto& use : netfilter::ports_in_use(fewest - fewest / 10)) {
    const auto chain = nat::explain(wanted, use.source, use.host).chain;
    if (chain && are_scarce(use.connections, ports_of(*chain)))
      scarce.push_back(
          {text_of(use), chain->network, std::min(use.connections, ports_of(*chain)), ports_of(*chain)});
  }
  return scarce;
}

}  // namespace

// A kernel without conntrack's netlink tells nothing of ports: no reason to say more.
void count_ports(doctor::Facts& facts) {
  try {
    facts.node.scarce_ports = scarce_ports(facts.ours.wanted);
  } catch (const Error& error) {
    if (error.kind() != Kind::absent) facts.not_looked.emplace_back(error.what());
  }
}

}  // namespace ipmasq::plugin
