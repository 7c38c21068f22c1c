// Which pods this node may treat each in its own way: those that rules or routes name narrower than all.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "doctor/facts.hpp"
#include "nat/foreign_rule.hpp"
#include "net/address.hpp"
#include "routing/learned_routes.hpp"
#include "routing/refusal.hpp"

namespace ipmasq::plugin {

/// Pods that nothing tells apart: what holds for the first holds for all.
struct PodsAlike {
  const doctor::PodWay* way = nullptr;  ///< that their packets come by
  std::vector<doctor::PodAt> pods;      ///< at least one
};

/// The recorded pods of one family. Lives no longer than the ways.
class RecordedPods {
 public:
  /// `ways`: of one family. Others' rules count where a rule of policy routing asks for a mark.
  RecordedPods(const std::vector<doctor::PodWay>& ways, const routing::PolicyRouting& routing,
               const std::vector<routing::KernelRoute>& routes, const nat::Foreign& foreign);

  /// Told apart by their interfaces as well; or by those alone that a rule of policy routing names.
  std::vector<PodsAlike> by_interface() const;
  std::vector<PodsAlike> by_names() const;

  /// Interfaces that pods' packets come by.
  const std::set<std::string>& interfaces() const { return interfaces_; }

  /// Some of them as a person names them: whole subnets where all of a subnet's pods are among them and the
  /// next one there would be as well; else each alone.
  std::vector<net::Prefix> as_prefixes(const std::vector<doctor::PodAt>& pods) const;
  /// Whether this node reaches it by a route of its own alone, as over a veth.
  bool has_own_interface(const doctor::PodAt& pod) const;
  /// Whether rules of policy routing, or what marks packets, ask for it.
  bool is_interface_named(const std::string& interface) const;
  /// The way of pods that are alike: of many that are taken together, what may mark packets can tell these by
  /// their interface, or the rest from those that it tells. Throws Error.
  const doctor::PodWay& way_of(const PodsAlike& alike);
  /// Whether a route is for a whole subnet that these are of, at least; else it is about pods alone.
  bool is_for_a_subnet_of(const net::Prefix& route, const net::Prefix& pods) const;
  /// Those that a prefix holds.
  std::vector<doctor::PodAt> in(const net::Prefix& prefix) const;

 private:
  struct Pod {
    const doctor::PodWay* way;
    doctor::PodAt at;
    std::set<std::size_t> names = {};  // of those that hold its address, by their numbers
    bool has_own_name = false;         // narrower than its subnet
    bool has_named_interface = false;
    bool has_own_interface = false;
  };
  template <typename Key>
  std::vector<PodsAlike> grouped(Key key_of) const;

  const doctor::PodWay& way_of_the_rest(const doctor::PodWay& all);

  std::vector<Pod> pods_;
  std::set<net::Prefix> subnets_;
  std::set<std::string> interfaces_;
  std::map<std::pair<const doctor::PodWay*, std::string>, doctor::PodWay> own_ways_;  // by interface
};

}  // namespace ipmasq::plugin
