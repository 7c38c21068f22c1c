// The ruleset as the nftables table `inet ip-masq`, both families in one: values that compare, and print as
// nft prints them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/mark.hpp"
#include "nat/intervals.hpp"
#include "nat/protocol.hpp"
#include "nat/ruleset.hpp"
#include "nat/source_nat.hpp"
#include "net/address.hpp"

namespace ipmasq::nat::nftables {

inline constexpr std::string_view table_name = "ip-masq";
inline constexpr std::string_view base_chain = "postrouting";
inline constexpr std::int32_t base_priority = 95;  ///< srcnat - 5
inline constexpr std::string_view forward_chain = "forward";
// Behind IPVS (99 and 100): without conntrack of its own (net.ipv4.vs.conntrack=0) it translates what is
// called invalid, and that has no pod's address any more.
inline constexpr std::int32_t forward_priority = 105;

/// Leaves the packet to the chains of others.
struct Return {
  bool operator==(const Return&) const = default;
};
/// The packet goes nowhere.
struct Drop {
  bool operator==(const Drop&) const = default;
};
/// ip saddr vmap @MAP: on to the chain that the map has for the source, not to come back.
struct Dispatch {
  net::Family family = net::Family::ipv4;
  std::string map;
  bool operator==(const Dispatch&) const = default;
};
/// snat ip to ip saddr: the source stays, and no NAT rule of a later chain is asked.
struct KeepSource {
  net::Family family = net::Family::ipv4;
  bool operator==(const KeepSource&) const = default;
};
/// A rule that does nothing that ip-masq's rules do.
struct NoStatement {
  bool operator==(const NoStatement&) const = default;
};
using Statement = std::variant<NoStatement, Return, Drop, Dispatch, KeepSource, SourceNat>;

/// numgen random mod OF < BELOW
struct Share {
  std::uint32_t below = 0;
  std::uint32_t of = 0;
  bool operator==(const Share&) const = default;
};

/// ip daddr @SET, or ip saddr . ip daddr @SET
struct InSet {
  net::Family family = net::Family::ipv4;
  std::string set;
  bool operator==(const InSet&) const = default;
};

/// One rule, which also counts. All parts that are set must match.
struct Rule {
  std::optional<std::string> out_interface = {};  ///< oifname
  std::optional<net::Prefix> source = {};
  std::optional<net::Prefix> destination = {};
  std::optional<InSet> pair_in = {};         ///< source and destination together
  std::optional<InSet> destination_in = {};  ///< the destination alone
  std::optional<config::Mark> mark = {};
  bool to_local = false;    ///< fib daddr type local
  bool redirected = false;  ///< ct status dnat
  bool is_invalid = false;  ///< ct state invalid
  /// ct original ip daddr != PREFIX: where the connection was sent to begin with.
  std::optional<net::Prefix> not_sent_to = {};
  std::optional<Protocol> protocol = {};
  std::optional<Share> share = {};
  Statement statement = {};
  std::string other = {};  ///< what the kernel's rule has beyond these, so that it equals none of ours

  bool operator==(const Rule&) const = default;
};

struct Chain {
  /// A chain that the kernel calls, "postrouting" (type nat hook postrouting priority srcnat - 5; policy
  /// accept) or "forward" (type filter hook forward priority 105; policy accept). Every other one is
  /// reached from these.
  bool is_base = false;
  std::vector<Rule> rules = {};

  bool operator==(const Chain&) const = default;
};

enum class SetKind {
  ranges,            ///< set: type ipv4_addr; flags interval
  chain_of_range,    ///< map: type ipv4_addr : verdict; flags interval
  chain_of_address,  ///< map: type ipv4_addr : verdict
  selves,            ///< set: type ipv4_addr . ipv4_addr; each address with itself
};

constexpr bool is_map(SetKind kind) {
  return kind == SetKind::chain_of_range || kind == SetKind::chain_of_address;
}
constexpr bool has_ranges(SetKind kind) {
  return kind == SetKind::ranges || kind == SetKind::chain_of_range;
}

/// Elements are disjoint, by rising address, single addresses where the kind has no ranges; their value: the
/// chain to go to, empty in a set that is no map.
struct Set {
  net::Family family = net::Family::ipv4;
  SetKind kind = SetKind::ranges;
  std::vector<Interval<std::string>> elements = {};

  bool operator==(const Set&) const = default;
};

struct Table {
  std::map<std::string, Chain> chains = {};
  std::map<std::string, Set> sets = {};

  bool operator==(const Table&) const = default;
};

/// A source and the chain that it leads to.
struct Lead {
  Source source;
  std::string chain;
  bool is_guessed = false;  ///< by what a map leads there: it may be many neighbours

  // NOLINTNEXTLINE(readability-implicit-bool-conversion): what the compiler makes of it
  auto operator<=>(const Lead&) const = default;
};

/// The chain of a network, which `sources` (of its family, in the order of comes_first) lead to, and its
/// sets.
void add_chain(const NetworkChain& chain, const std::vector<net::Prefix>& sources, Table& table);

/// The base chain and its maps. Of leads from one source that of the first network, and policy, by name
/// decides.
void add_base_chain(const std::vector<config::Mark>& yield_marks, std::vector<Lead> leads, Table& table);

/// The chain of a network, or a policy of it, and family: NETWORK-SUFFIX, NETWORK/POLICY-SUFFIX, with -6
/// behind for IPv6, and a '_' before a network that begins with a digit, which nft takes for no name.
std::string chain_name(const Owner& owner, net::Family family);
inline std::string chain_name(const std::string& network, net::Family family) {
  return chain_name(Owner{network}, family);
}

/// The network, and policy, that a chain was made for, by its name: also of the chains of version 0.1.0, one
/// for each pod subnet, whose suffix is another. nullopt where it is none of ours.
std::optional<Owner> owner_of_chain(const std::string& name);
/// Its network.
std::optional<std::string> network_of_chain(const std::string& name);

/// The sets that belong to a network's chain.
std::string kept_set(const std::string& chain);
std::string masqueraded_set(const std::string& chain);
std::string self_set(const std::string& chain);

/// The set of the destinations of a chain with `verdict`; nullopt where there are none.
std::optional<InSet> add_destinations(const std::string& set, Verdict verdict, const NetworkChain& chain,
                                      Table& table);

/// The maps of `leads`, whose names begin so, and at the end of a base chain, for each, `asking`
/// with the statement that asks it. Of leads from one source that of the first network by name decides.
void add_maps(const std::string& beginning, std::vector<Lead> leads, std::string_view base,
              const Rule& asking, Table& table);

/// The sets and maps that a rule asks.
std::vector<std::string> sets_of(const Rule& rule);

/// As nft list prints it, without "packets N bytes N".
std::string to_text(const Rule& rule);
std::string to_text(const Interval<std::string>& element, SetKind kind);

}  // namespace ipmasq::nat::nftables
