// What somebody else's rules do to a pod's packets that is not what ours say of them. A connection's first
// packet is followed through all that others have on its way through the node, as it is forwarded: what
// nothing leads to and what cannot match it does not count.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/mark.hpp"
#include "nat/explain.hpp"
#include "nat/flow.hpp"
#include "nat/foreign_rule.hpp"

namespace ipmasq::nat {

/// Where our rules stand.
struct OurPlace {
  bool is_nftables = false;  ///< else legacy iptables
  std::vector<config::Mark> yield_marks = {};
  bool holds = true;  ///< "exemption": "hold"; with "return" others are asked after us
};

struct Contradiction {
  enum class Kind {
    translated_by_others,  ///< its source is another than our rules give
    passed_by,             ///< our rules are not asked: it stays with what others do
    not_tracked,           ///< nothing translates it: the pod's own address goes out
    yield_mark_set,        ///< our rules leave it alone
    redirected,            ///< it goes elsewhere, where another fate is decided, or ends on this node
    source_rewritten,      ///< outside NAT
    handed_over,           ///< to a program that decides (NFQUEUE)
    not_known,             ///< a target that is not known here, or more chains than are followed
  };

  Kind kind = Kind::translated_by_others;
  bool is_certain = false;  ///< else it may be so: what cannot be read here decides
  std::string does;         ///< a sentence without its end
  std::string rule;         ///< as to_text() gives it
  std::string fix;
  std::optional<Fate> becomes = {};  ///< of one that is redirected for certain: its fate there

  bool operator==(const Contradiction&) const = default;
};

/// In the order in which packets meet them; none where nothing contradicts. Nothing is said of what our own
/// rules lack.
std::vector<Contradiction> contradictions(const Foreign& foreign, const OurPlace& ours, const Flow& flow);

}  // namespace ipmasq::nat
