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
#include "net/address.hpp"

namespace ipmasq::nat::nftables {

inline constexpr std::string_view table_name = "ip-masq";
inline constexpr std::string_view base_chain = "postrouting";
inline constexpr std::int32_t base_priority = 95;  ///< srcnat - 5

/// Leaves the packet to the chains of others.
struct Return {
  bool operator==(const Return&) const = default;
};
/// ip saddr vmap @pod-subnets: on to the chain of the pod subnet that holds the source.
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
/// masquerade, or snat where `to` is set.
struct SourceNat {
  std::optional<net::Address> to;
  std::optional<config::PortRange> ports;
  bool random_fully = false;
  bool operator==(const SourceNat&) const = default;
};
/// A rule that does nothing that ip-masq's rules do.
struct NoStatement {
  bool operator==(const NoStatement&) const = default;
};
using Statement = std::variant<NoStatement, Return, Dispatch, KeepSource, SourceNat>;

/// numgen random mod OF < BELOW
struct Share {
  std::uint32_t below = 0;
  std::uint32_t of = 0;
  bool operator==(const Share&) const = default;
};

/// ip daddr @SET
struct InSet {
  net::Family family = net::Family::ipv4;
  std::string set;
  bool operator==(const InSet&) const = default;
};

/// One rule, which also counts. All parts that are set must match.
struct Rule {
  std::optional<net::Prefix> destination = {};
  std::optional<InSet> destination_in = {};
  std::optional<config::Mark> mark = {};
  bool to_local = false;    ///< fib daddr type local
  bool redirected = false;  ///< ct status dnat
  std::optional<Protocol> protocol = {};
  std::optional<Share> share = {};
  Statement statement = {};
  std::string other = {};  ///< what the kernel's rule has beyond these, so that it equals none of ours

  bool operator==(const Rule&) const = default;
};

/// The chain that the kernel calls; every other one is reached from there.
struct Chain {
  bool is_base = false;  ///< type nat hook postrouting priority srcnat - 5; policy accept
  std::vector<Rule> rules = {};

  bool operator==(const Chain&) const = default;
};

/// An interval set of addresses; the value of an element: the chain to go to, empty in a set that is no map.
struct Set {
  net::Family family = net::Family::ipv4;
  bool is_map = false;
  std::vector<Interval<std::string>> elements = {};

  bool operator==(const Set&) const = default;
};

struct Table {
  std::map<std::string, Chain> chains = {};
  std::map<std::string, Set> sets = {};

  bool operator==(const Table&) const = default;
};

/// A pod subnet and the chain that decides for it.
struct Entrance {
  net::Prefix subnet;
  std::string network;
  std::string chain;
};

/// The wanted table; empty where the ruleset has no pod subnet. `others`: entrances to chains that are not of
/// the ruleset but stay.
Table wanted_table(const Ruleset& ruleset, const std::vector<Entrance>& others = {});

/// NETWORK-SUFFIX, with a '_' before a network that begins with a digit, which nft takes for no name.
std::string chain_name(const std::string& network, const net::Prefix& subnet);

/// The entrance that `name`, a chain with these rules, was made for; nullopt where it is none of ours, or is
/// damaged beyond telling.
std::optional<Entrance> entrance_of(const std::string& name, const std::vector<Rule>& rules);

/// The sets that belong to a pod subnet's chain.
std::string kept_set(const std::string& chain);
std::string masqueraded_set(const std::string& chain);

/// As nft list prints it, without "packets N bytes N".
std::string to_text(const Rule& rule);
std::string to_text(const Interval<std::string>& element);

}  // namespace ipmasq::nat::nftables
