// What a ruleset does to a connection, and which key of the configuration says so.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nat/ruleset.hpp"
#include "net/address.hpp"
#include "net/range.hpp"

namespace ipmasq::nat {

enum class Fate {
  kept,  ///< the destination sees the pod's own address
  masqueraded,
  left_alone,  ///< ip-masq has no rule for it: the node's other rules decide
};

/// "kept", "masqueraded", "left alone".
std::string to_text(Fate fate);

/// What a rule masquerades as.
struct GivenSource {
  std::optional<std::string> out_interface = {};  ///< of what leaves by this one alone
  std::optional<net::Range> to = {};              ///< none: the address of the outgoing interface

  bool operator==(const GivenSource&) const = default;
};

/// What the rules that stand in the kernel do to a connection.
struct Standing {
  Fate fate = Fate::left_alone;
  std::string rule = {};   ///< that decides, as CountedRule::text has it
  bool is_certain = true;  ///< false: `rule` is none that ip-masq makes, and nothing is promised of the fate
  std::vector<GivenSource> sources = {};  ///< where it is masqueraded: those of all rules that may be met

  /// Whether what leaves by `interface` (nullopt: by any) is masqueraded as nothing but `to`,
  /// an address or some of a range.
  bool gives(const std::optional<net::Range>& to, const std::optional<std::string>& interface) const;

  bool operator==(const Standing&) const = default;
};

struct Explanation {
  Fate fate = Fate::left_alone;
  std::string why;                              ///< the key, or what else decides
  std::optional<Source> source = {};            ///< the pod subnet that holds the source, and its network
  std::optional<NetworkChain> chain = {};       ///< that decides for it
  std::optional<net::Prefix> destination = {};  ///< the entry that decides; none for the catch-all
};

/// Both addresses of one family. Packets that carry a yield mark or were redirected (DNAT) are not asked
/// about.
Explanation explain(const Ruleset& ruleset, const net::Address& source, const net::Address& destination);

/// Whether every address of a network (of the chain's family) sees the pods' own addresses.
bool keeps_all(const NetworkChain& chain, const net::Prefix& network);

}  // namespace ipmasq::nat
