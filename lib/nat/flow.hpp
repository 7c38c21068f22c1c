// Connections of pods that are asked about.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nat/explain.hpp"
#include "nat/foreign_rule.hpp"
#include "net/address.hpp"

namespace ipmasq::nat {

/// The connections that are asked about, and what our rules say of them.
struct Flow {
  std::vector<net::Prefix> sources;              ///< of one family, at least one
  std::optional<net::Address> destination = {};  ///< none: any beyond this node
  std::optional<Fate> fate = {};                 ///< none: any
  std::optional<net::Range> snat_to = {};        ///< where masqueraded: none is the outgoing interface's
  /// What our rules say of the same sources towards another destination; never called where there is none.
  std::function<Fate(const net::Address&)> fate_towards = {};
  std::optional<std::string> in_interface = {};   ///< by which they come from the pod, where it is known
  std::optional<std::string> out_interface = {};  ///< by which they leave, where it is known
  /// By one of which they come from the pod, and where that is the port of a bridge, by the bridge as well;
  /// empty where it is not known.
  std::set<std::string> in_devices = {};
  std::set<std::string> out_devices = {};      ///< by which they leave, likewise
  std::set<net::Address> node_addresses = {};  ///< what is for these is not forwarded
  /// Where no `destination` is asked about: some of these; none: any beyond this node.
  std::vector<net::Prefix> destinations = {};
  std::optional<std::uint32_t> protocol = {};  ///< as IP numbers them; none: any
  /// Of the packet that is followed, as connection_state has it: fresh, or established, which no NAT rule is
  /// asked about.
  std::uint32_t state = connection_state::fresh;
  bool comes_back = false;  ///< it is an answer
  /// What the world outside has for the pod's address: the source behind NAT, and the destination of an
  /// answer before it. None: the pod's own.
  std::vector<net::Prefix> translated = {};
};

/// What they send once they were answered.
Flow later_in(const Flow& flow);

/// The answers to such connections.
Flow answer_to(const Flow& flow);

}  // namespace ipmasq::nat
