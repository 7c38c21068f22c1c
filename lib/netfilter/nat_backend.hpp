// The kernel's NAT rules behind one interface: what carries a ruleset out, and says what stands there.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nat/explain.hpp"
#include "nat/ruleset.hpp"
#include "net/address.hpp"

namespace ipmasq::netfilter {

/// One rule of ours as it stands in the kernel.
struct CountedRule {
  std::string program;  ///< whose text it is: "iptables", "ip6tables", "nft"
  std::string text;     ///< as that program prints it; of nft after "CHAIN: "
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;

  bool operator==(const CountedRule&) const = default;
};

/// What a call finds in the kernel.
struct Look {
  std::vector<std::string> differences = {};  ///< from what is wanted, a line each; none where all is right
  std::map<net::Address, std::vector<nat::Source>> met = {};  ///< by each of Ruleset::pods, as met_by has it
};

/// What a call changed in the kernel.
struct Change {
  std::vector<std::string> lines = {};  ///< a line each, for a person; none where nothing was committed
  /// Puts our part of the tables back as this call found it, counters aside. Throws Error.
  std::function<void()> undo = [] {};
};

/// Of one call: what it read it may keep until it changes something.
class NatBackend {
 public:
  NatBackend() = default;
  NatBackend(const NatBackend&) = delete;
  NatBackend& operator=(const NatBackend&) = delete;
  NatBackend(NatBackend&&) = delete;
  NatBackend& operator=(NatBackend&&) = delete;
  virtual ~NatBackend() = default;

  /// Whether rules of ours may stand here, for as little as that can be known for: false where it is certain
  /// that none do. Makes no table. Throws Error, of any kind but absent.
  virtual bool may_hold_rules() = 0;

  /// Compares with `wanted` what stands, and tells what each of its pods meets, by one look at the kernel.
  /// Changes nothing, and makes no table that has nothing to hold.
  virtual Look look(const nat::Ruleset& wanted) = 0;

  /// The first of both alone.
  std::vector<std::string> differences(const nat::Ruleset& wanted) { return look(wanted).differences; }

  /// Brings the kernel to `wanted`, by at most one commit a family, none where all is right. Throws Error;
  /// nothing has then changed, in any family, or the message says what is left.
  virtual Change apply(const nat::Ruleset& wanted) = 0;

  /// Every rule of ours, in the order that packets meet them. Changes nothing.
  virtual std::vector<CountedRule> rules() = 0;

  /// Every source of ours that leads to a network's chain, in the order of nat::comes_first. Changes nothing.
  virtual std::vector<nat::Source> sources() = 0;

  /// The sources of ours that packets from one address meet, whatever network each leads to, in that order:
  /// the first decides. Its network is empty where somebody made it lead elsewhere. In nftables it costs the
  /// same whatever number of single addresses stands there. Changes nothing.
  virtual std::vector<nat::Source> met_by(const net::Address& pod) = 0;

  /// What the rules that stand here do to a new connection that carries no mark and that nobody redirected:
  /// nullopt where they are not asked about it (none is there, or none leads from that source).
  virtual std::optional<nat::Standing> standing(const net::Address& source,
                                                const net::Address& destination) = 0;

  /// Throws Error unless the kernel would take `wanted`: absent, forbidden, refused. Changes nothing, makes
  /// no table.
  virtual void check(const nat::Ruleset& wanted) = 0;
};

}  // namespace ipmasq::netfilter
