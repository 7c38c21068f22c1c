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

/// Of one network. A connection is looked up in the logarithm of the lists' length.
class ChangedFates {
 public:
  /// `now`: of all networks, since one may have the pods of another among its pod subnets. `before`: the
  /// network's chains as they were.
  ChangedFates(const Ruleset& now, const std::vector<NetworkChain>& before, const std::string& network);

  /// Whether the lists say something else of any connection.
  bool is_any() const { return changes_[0] || changes_[1]; }

  /// Whether the network's chain decides for it.
  bool holds(const net::Address& source) const;

  /// Whether the lists say something else of it than before, and it has not what they say now. `source` must
  /// be held.
  bool has_changed(const PodConnection& connection) const;

 private:
  struct Lists {
    std::vector<Interval<Verdict>> destinations;
    bool catch_all = false;
    Translation translation;

    explicit Lists(const NetworkChain& chain);
    Fate fate_of(const net::Address& destination) const;
  };
  struct Change {
    Lists before;
    Lists now;
  };

  static std::size_t index(net::Family family) { return family == net::Family::ipv4 ? 0 : 1; }

  std::array<std::vector<Interval<bool>>, 2> ours_;  ///< by family; whether the network decides
  std::array<std::optional<Change>, 2> changes_;     ///< by family; none where it says the same
};

}  // namespace ipmasq::nat
