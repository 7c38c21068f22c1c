// NAT rules and chains of somebody else, as far as they say who is hidden.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "net/address.hpp"

namespace ipmasq::nat {

/// A part of a rule that must match, or must not.
template <typename Value>
struct Match {
  Value value;
  bool inverted = false;

  bool operator==(const Match&) const = default;
};

struct ForeignRule {
  std::string program;      ///< that shows it: "iptables-legacy", "ip6tables-legacy", "nft"
  std::string family = {};  ///< of nft: "ip", "ip6", "inet"
  std::string table = "nat";
  std::string chain;
  std::uint64_t handle = 0;  ///< of nft
  std::optional<Match<net::Prefix>> source = {};
  std::optional<Match<net::Prefix>> destination = {};
  std::optional<Match<std::string>> out_interface = {};
  std::string comment = {};
  bool not_to_local = false;  ///< -m addrtype ! --dst-type LOCAL
  std::string target = {};    ///< "MASQUERADE", "SNAT", "ACCEPT", "RETURN", a chain; empty for anything else

  bool operator==(const ForeignRule&) const = default;

  bool translates() const { return target == "MASQUERADE" || target == "SNAT"; }
};

/// A base chain of somebody else in nftables that hooks postrouting.
struct ForeignChain {
  std::string family;  ///< "ip", "ip6" or "inet"
  std::string table;
  std::string chain;
  std::int32_t priority = 0;

  bool operator==(const ForeignChain&) const = default;
};

/// "iptables-legacy -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", and of nft the same
/// after "nft ip nat POSTROUTING handle 5:"; parts that ForeignRule has no place for are left out.
std::string to_text(const ForeignRule& rule);

/// The command that deletes it.
std::string delete_command(const ForeignRule& rule);

}  // namespace ipmasq::nat
