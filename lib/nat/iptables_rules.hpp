// The ruleset as iptables chains, one family at a time: values that compare, and print as iptables-save
// prints them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/mark.hpp"
#include "nat/protocol.hpp"
#include "nat/ruleset.hpp"
#include "net/address.hpp"

namespace ipmasq::nat::iptables {

/// The chain that POSTROUTING jumps to; those of the pod subnets are called IP-MASQ- and 12 hexadecimal
/// digits. Not IP-MASQ: many manifests of ip-masq-agent give it that chain (--masq-chain=IP-MASQ).
inline constexpr std::string_view main_chain = "IP-MASQ-PODS";
inline constexpr std::string_view hook_chain = "POSTROUTING";

struct Accept {
  bool operator==(const Accept&) const = default;
};
struct Return {
  bool operator==(const Return&) const = default;
};
/// -j CHAIN: what CHAIN lets fall through comes back to the next rule.
struct Jump {
  std::string chain;
  bool operator==(const Jump&) const = default;
};
/// -g CHAIN: what CHAIN lets fall through, or returns, goes on behind the jump that led here.
struct Goto {
  std::string chain;
  bool operator==(const Goto&) const = default;
};
/// MASQUERADE, or SNAT where `to` is set.
struct SourceNat {
  std::optional<net::Address> to;
  std::optional<config::PortRange> ports;
  bool random_fully = false;
  bool operator==(const SourceNat&) const = default;
};
/// A target that ip-masq never writes, by its name.
struct OtherTarget {
  std::string name;
  bool operator==(const OtherTarget&) const = default;
};
using Target = std::variant<Accept, Return, Jump, Goto, SourceNat, OtherTarget>;

/// One rule. All parts that are set must match; a prefix of length 0 is not set.
struct Rule {
  std::optional<net::Prefix> source = {};
  std::optional<net::Prefix> destination = {};
  std::optional<Protocol> protocol = {};
  std::optional<config::Mark> mark = {};
  bool to_local = false;                          ///< -m addrtype --dst-type LOCAL
  bool redirected = false;                        ///< -m conntrack --ctstate DNAT
  std::optional<std::uint32_t> probability = {};  ///< -m statistic --mode random, in units of 2^-31
  std::string comment = {};
  Target target = {};
  std::string other_matches =
      {};  ///< what the kernel's rule has beyond these, so that it equals none of ours

  bool operator==(const Rule&) const = default;
};

using Chains = std::map<std::string, std::vector<Rule>>;

/// Wanted chains of a family by name, without POSTROUTING; none where the ruleset has no pod subnet of that
/// family.
Chains wanted_chains(const Ruleset& ruleset, net::Family family);

/// The one rule in POSTROUTING.
Rule hook_rule();

/// The chain of a network's pod subnet: two networks never share one.
std::string chain_name(const std::string& network, const net::Prefix& subnet);

/// IP-MASQ-PODS and the pod subnets' chains; not those of others, such as ip-masq-agent's IP-MASQ-AGENT.
bool is_our_chain(std::string_view name);

/// Where `rule` leads to a pod subnet's chain on behalf of a network, as the rules of the main chain do: that
/// network.
std::optional<std::string> network_of_rule(const Rule& rule);

/// "-A CHAIN ...", byte for byte as iptables-save prints it.
std::string to_text(const std::string& chain, const Rule& rule);

}  // namespace ipmasq::nat::iptables
