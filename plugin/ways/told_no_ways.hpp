// What is told of the ways that pods do not have: each rule and route once, and the commands that help.
#pragma once

#include <linux/rtnetlink.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "doctor/facts.hpp"
#include "net/address.hpp"
#include "plugin/ways/pods_alike.hpp"
#include "routing/refusal.hpp"

namespace ipmasq::plugin {

/// An answer that was found for pods.
struct Told {
  doctor::NoWay no_way = {};
  std::vector<net::Prefix> about = {};          ///< what the rule or route names
  std::optional<net::Prefix> destination = {};  ///< of the route that decides
  std::uint32_t table = RT_TABLE_MAIN;          ///< that has it, or lacks one
  bool is_local = false;                        ///< this node takes it for itself
  bool is_by_mark = false;
  std::vector<doctor::PodAt> pods = {};
};

Told told_of(const routing::Refusal& refusal);

/// Of one family.
class ToldNoWays {
 public:
  explicit ToldNoWays(const RecordedPods& pods) : pods_(pods) {}

  /// What is told of the same pods, for certain, by the same rule or route is not told again: the world comes
  /// first. `to`: none for the world.
  void add(Told told, const std::optional<net::Prefix>& to);

  /// In the order in which they were added first.
  std::vector<doctor::NoWay> all() const;

 private:
  std::string fix_of(const Told& told, const std::vector<net::Prefix>& prefixes) const;
  std::string route_to(const std::vector<net::Prefix>& prefixes, std::uint32_t table,
                       const std::string& verb) const;
  bool is_instead_of_own(const Told& told, const std::vector<net::Prefix>& prefixes) const;

  const RecordedPods& pods_;
  std::vector<Told> found_;
};

}  // namespace ipmasq::plugin
