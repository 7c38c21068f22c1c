// The ruleset as iptables chains, one family at a time: values that compare, and print as iptables-save
// prints them.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/mark.hpp"
#include "nat/protocol.hpp"
#include "nat/rare_text.hpp"
#include "nat/ruleset.hpp"
#include "nat/source_nat.hpp"
#include "net/address.hpp"

namespace ipmasq::nat::iptables {

/// The chain that POSTROUTING jumps to; those of the networks are called IP-MASQ- and 12 hexadecimal digits.
/// Not IP-MASQ: many manifests of ip-masq-agent give it that chain (--masq-chain=IP-MASQ).
inline constexpr std::string_view main_chain = "IP-MASQ-PODS";
inline constexpr std::string_view hook_chain = "POSTROUTING";

struct Accept {
  auto operator<=>(const Accept&) const = default;
};
struct Return {
  auto operator<=>(const Return&) const = default;
};
/// -j CHAIN: what CHAIN lets fall through comes back to the next rule.
struct Jump {
  RareText chain;
  auto operator<=>(const Jump&) const = default;
};
/// -g CHAIN: what CHAIN lets fall through, or returns, goes on behind the jump that led here.
struct Goto {
  RareText chain;
  auto operator<=>(const Goto&) const = default;
};
/// A target that ip-masq never writes, by its name.
struct OtherTarget {
  RareText name;
  auto operator<=>(const OtherTarget&) const = default;
};
using Target = std::variant<Accept, Return, Jump, Goto, SourceNat, OtherTarget>;

/// What makes a connection one that somebody redirected: its DNAT status, or that it was sent elsewhere than
/// the rule's destination. IPVS redirects and sets no status.
enum class Redirected : std::uint8_t {
  by_status,    ///< -m conntrack --ctstate DNAT
  by_addressee  ///< -m conntrack ! --ctorigdst, with the rule's destination
};

/// One rule. All parts that are set must match; a prefix of length 0 is not set.
struct Rule {
  std::optional<net::Prefix> source = {};
  std::optional<net::Prefix> destination = {};
  std::optional<RareText> out_interface = {};
  std::optional<Protocol> protocol = {};
  bool to_local = false;                      ///< -m addrtype --dst-type LOCAL
  std::optional<Redirected> redirected = {};  ///< by_addressee only where `destination` is set
  std::optional<config::Mark> mark = {};
  std::optional<std::uint32_t> probability = {};  ///< -m statistic --mode random, in units of 2^-31
  RareText comment = {};
  Target target = {};
  /// What the kernel's rule has beyond these, so that it equals none of ours.
  RareText other_matches = {};

  auto operator<=>(const Rule&) const = default;  // NOLINT(readability-implicit-bool-conversion)
};

using Chains = std::map<std::string, std::vector<Rule>>;

/// The one rule in POSTROUTING.
Rule hook_rule();

/// The rules of the main chain, in this order: one for each yield mark, this one, and for each source, in the
/// order of nat::comes_first, what leaves redirected connections alone, then what leads to the network's
/// chain.
Rule to_local_rule();
Rule yield_rule(const config::Mark& mark);
/// What was sent elsewhere and arrives inside the pod's own subnet must be masqueraded by who redirected it,
/// or the answer goes around the redirection. `source`: the subnet itself, or the address of a pod in it that
/// has rules of its own. One rule where the subnet is a single address, none where it is everything.
std::vector<Rule> hairpin_rules(const net::Prefix& source, const net::Prefix& subnet);
Rule source_rule(const Source& source);

/// Of a rule that stands in the main chain: whether it is of these kinds, and what of.
bool is_yield_rule(const Rule& rule);
bool is_hairpin_rule(const Rule& rule);
std::optional<Source> source_of(const Rule& rule, net::Family family);

/// The rules of a network's chain, or a policy's.
std::vector<Rule> network_rules(const NetworkChain& chain);

/// The chain of a network, or of a policy of it: no two share one.
std::string chain_name(const Owner& owner);
inline std::string chain_name(const std::string& network) {
  return chain_name(Owner{network});
}

/// IP-MASQ-PODS and the networks' chains; not those of others, such as ip-masq-agent's IP-MASQ-AGENT.
bool is_our_chain(std::string_view name);

/// "-A CHAIN ...", byte for byte as iptables-save prints it.
std::string to_text(const std::string& chain, const Rule& rule);

}  // namespace ipmasq::nat::iptables
