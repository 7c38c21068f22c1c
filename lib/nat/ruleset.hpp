// What ip-masq wants of a node's NAT, whichever back end carries it out.
#pragma once

#include <compare>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/exemption.hpp"
#include "config/mark.hpp"
#include "config/origin.hpp"
#include "config/port_range.hpp"
#include "net/address.hpp"
#include "net/range.hpp"

namespace ipmasq::nat {

enum class Verdict { keep, masquerade };

/// A destination, what becomes of the pod's address there, and which key says so.
struct Destination {
  net::Prefix prefix;
  Verdict verdict = Verdict::keep;
  config::Origin origin;

  auto operator<=>(const Destination&) const = default;
};

/// What a masqueraded connection gets as its source.
struct Translation {
  bool random_fully = true;
  std::vector<config::PortRange> to_ports;  ///< none: whatever port the kernel picks
  std::optional<net::Range> snat_to;        ///< none: the address of the outgoing interface
  std::map<std::string, net::Range> snat_to_by_interface = {};  ///< where that is the way out

  /// By which way out. `interface`: nullopt where it is not known, then what holds for all others.
  std::optional<net::Range> source_by(const std::optional<std::string>& interface) const;

  /// All of them, whatever the way out.
  std::vector<net::Range> sources() const;

  bool operator==(const Translation&) const = default;
};

/// Whose a chain is.
struct Owner {
  std::string network;
  std::string policy = {};  ///< empty: the network's own keys

  auto operator<=>(const Owner&) const = default;
};

/// "NETWORK", "NETWORK/POLICY": neither name holds a '/'.
std::string to_text(const Owner& owner);
Owner parse_owner(std::string_view text);
/// "network NETWORK", "network NETWORK (policy POLICY)", for a person.
std::string told(const Owner& owner);

/// What becomes of all that the pods of a network send that have one policy, or none, of one family: one
/// chain, however many pod subnets and addresses lead there.
struct NetworkChain {
  std::string network;
  net::Family family = net::Family::ipv4;
  std::vector<Destination> destinations;  ///< longest prefix first: the first that holds an address decides
  bool catch_all = true;                  ///< masquerade what no destination holds
  config::Exemption exemption = config::Exemption::hold;
  /// Packets that connection tracking calls invalid, which nobody can translate, go nowhere where they would
  /// be masqueraded.
  bool drops_invalid = false;
  Translation translation;
  /// Pod subnets of other networks, or LANs, of which single addresses lead here; of a policy the network's
  /// own as well.
  std::vector<net::Prefix> shared_subnets = {};
  std::string policy = {};                   ///< empty: of the pods that have none
  config::Origin catch_all_by = "catchAll";  ///< which key says what becomes of what no destination holds

  Owner owner() const { return {network, policy}; }

  bool operator==(const NetworkChain&) const = default;
};

/// A pod subnet (of a pod that has no neighbours its own address, /32 or /128), and the network whose chain
/// decides for it.
struct Source {
  net::Prefix prefix;
  std::string network;
  std::string policy = {};  ///< of a single address: its pod's; empty for the network's own chain

  Owner owner() const { return {network, policy}; }

  auto operator<=>(const Source&) const = default;
};

/// Longest prefix first, then by address, then by network and policy: of all that hold an address the first
/// decides.
bool comes_first(const Source& left, const Source& right);

/// What one call wants of a back end. What the kernel has beyond that stays or goes as the rest says, so
/// that a call need know no more than its own network.
struct Ruleset {
  std::vector<config::Mark> yield_marks = {};
  std::vector<NetworkChain> chains = {};  ///< by network, policy, family; stand where a source leads there
  std::vector<Source> sources =
      {};  ///< in the order of comes_first; each with a chain of its network and family

  /// The networks that this call decides about. What the kernel has for any other (its sources, and the chain
  /// that they lead to) stays as it is.
  std::set<std::string> networks = {};
  /// Of these, those whose NAT is in another back end by now: what drops their invalid packets, which stands
  /// in nftables whichever back end that is, stays as it is.
  std::set<std::string> elsewhere = {};
  /// Sources that are to go, whoever decides about their network, and whatever policy they have: the chain
  /// goes with the last source. None of them names a policy.
  std::set<Source> gone = {};
  /// Of `sources`, those of whose policy this call knows nothing: each leads on as it stands, where a chain
  /// above is its policy's, else to the network's own.
  std::set<Source> of_unknown_policy = {};
  /// Pods that this call answers for: what else stands about their addresses is looked at as well.
  std::set<net::Address> pods = {};
  /// `sources` are all that these networks have: others of theirs go. Else they stay, and lead to the chain
  /// above.
  bool has_all_sources = true;
  /// `yield_marks` are those of all networks of the node: others go. Else they stay while a network stays
  /// that this call does not decide about.
  bool has_all_marks = false;

  bool operator==(const Ruleset&) const = default;
};

/// `ruleset.sources`, each with its policy, by what stands in a back end.
std::vector<Source> wanted_sources(const std::vector<Source>& standing, const Ruleset& ruleset);

/// Which of the sources that stand stay as a ruleset says, beside those that it wants: of a network and
/// prefix one alone.
class Staying {
 public:
  /// `wanted`: what wanted_sources says. Refers to the ruleset, which must outlive it.
  Staying(const Ruleset& ruleset, const std::vector<Source>& wanted);

  bool stays(const Source& standing) const;

 private:
  const Ruleset& ruleset_;                  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members)
  std::map<Source, std::string> policies_;  // by wanted source without it
};

/// Of sources that stand in a back end, those that are to stand there once a ruleset is carried out, and its
/// own; each once, in no order.
std::vector<Source> sources_after(const std::vector<Source>& standing, const Ruleset& ruleset);

}  // namespace ipmasq::nat
