// Which connections that live would leave with another source now, since the lists changed.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "nat/explain.hpp"
#include "nat/intervals.hpp"
#include "nat/ruleset.hpp"
#include "net/address.hpp"

namespace ipmasq::nat {

/// A connection of a pod that nobody redirected.
struct PodConnection {
  net::Address source;
  net::Address destination;
  net::Address seen;  ///< the source that the destination sees
};

/// What a connection that is translated so is given as its source now; nullopt where that is not known.
using Given = std::function<std::optional<net::Range>(const PodConnection&, const Translation&)>;

/// Of the pods of one network, whatever policy they have or had. A connection is looked up in the logarithm
/// of the lists' length.
class ChangedFates {
 public:
  /// Both of all networks, since one may have the pods of another among its pod subnets.
  ChangedFates(const Ruleset& before, const Ruleset& now, const std::string& network);

  /// Whether the lists may say something else of any connection.
  bool is_any() const { return before_ != now_; }

  /// Whether a chain of the network's decides for it, and did before.
  bool holds(const net::Address& source) const;

  /// Whether the lists say something else of it than before, and it has not what they say now; never of what
  /// they leave to others, whose say nobody knows here. `source` must be held.
  bool has_changed(const PodConnection& connection, const Given& given) const;

 private:
  /// What a chain says of sources and destinations.
  struct Lists {
    std::vector<Interval<Verdict>> destinations;
    bool catch_all = false;
    Translation translation;

    explicit Lists(const NetworkChain& chain);
    Fate fate_of(const net::Address& destination) const;

    bool gives_as(const Lists& other) const;
    bool operator==(const Lists& other) const;
  };
  /// The network's chains, and which decides for an address; none: another network's.
  struct Deciding {
    std::vector<Lists> lists;
    std::vector<Interval<std::optional<std::size_t>>> sources;

    bool operator==(const Deciding&) const = default;
  };

  static Deciding deciding(const Ruleset& ruleset, const std::string& network, net::Family family);
  static bool may_give(const Translation& before, const Translation& now, const net::Address& seen);
  static const Lists* lists_of(const Deciding& deciding, const net::Address& source);
  static std::size_t index(net::Family family) { return family == net::Family::ipv4 ? 0 : 1; }

  std::array<Deciding, 2> before_;  ///< by family
  std::array<Deciding, 2> now_;
};

}  // namespace ipmasq::nat
