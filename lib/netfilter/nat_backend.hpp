// The kernel's NAT rules behind one interface: what carries a ruleset out, and says what stands there.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

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

class NatBackend {
 public:
  NatBackend() = default;
  NatBackend(const NatBackend&) = delete;
  NatBackend& operator=(const NatBackend&) = delete;
  NatBackend(NatBackend&&) = delete;
  NatBackend& operator=(NatBackend&&) = delete;
  virtual ~NatBackend() = default;

  /// Whether rules of ours may stand here, for as little as that can be known for. Makes no table.
  virtual bool may_hold_rules() = 0;

  /// What differs from `wanted` in the kernel, a line each; none where all is right. Changes nothing.
  virtual std::vector<std::string> differences(const nat::Ruleset& wanted) = 0;

  /// Brings the kernel to `wanted`, by at most one transaction a family; the differences that it mended.
  /// Where there are none nothing is committed. `certain`: the families of which the caller knows that there
  /// is something to change, so that no look needs to come first. Throws Error; no family is then half
  /// changed.
  virtual std::vector<std::string> apply(const nat::Ruleset& wanted,
                                         const std::set<net::Family>& certain) = 0;

  /// Every rule of ours, in the order that packets meet them. Changes nothing.
  virtual std::vector<CountedRule> rules() = 0;

  /// Throws Error where rules could not be read now.
  virtual void check_available() = 0;
};

}  // namespace ipmasq::netfilter
