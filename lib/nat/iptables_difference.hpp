// What separates the chains that the kernel has from those that are wanted, as one transaction of edits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "nat/iptables_rules.hpp"
#include "nat/ruleset.hpp"

namespace ipmasq::nat::iptables {

/// A rule in the kernel and what it has counted.
struct ObservedRule {
  Rule rule;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

/// A rule of another chain that leads into one of ours.
struct Entrance {
  std::string chain;
  std::size_t index = 0;  ///< counted from 0
  ObservedRule observed;
};

/// The part of a nat table that is ours.
struct ObservedTable {
  std::map<std::string, std::vector<ObservedRule>> chains;
  std::vector<Entrance> entrances;  ///< in each chain by rising index
};

struct CreateChain {
  std::string chain;
  bool operator==(const CreateChain&) const = default;
};
struct DeleteChain {
  std::string chain;  ///< empty by then, and nothing leads there
  bool operator==(const DeleteChain&) const = default;
};
struct InsertRule {
  std::string chain;
  std::size_t index = 0;  ///< counted from 0, the rule's place after the edit
  Rule rule;
  bool operator==(const InsertRule&) const = default;
};
struct DeleteRule {
  std::string chain;
  std::size_t index = 0;
  Rule rule;  ///< that stands there
  bool operator==(const DeleteRule&) const = default;
};
using Edit = std::variant<CreateChain, DeleteChain, InsertRule, DeleteRule>;

/// What brings `observed` to what `wanted` asks of the family, to be carried out in this order and at once;
/// empty where all is right. Rules that stay keep their counters. Chains of networks that `wanted` does not
/// know stay.
std::vector<Edit> difference(const ObservedTable& observed, const Ruleset& wanted, net::Family family);

/// "missing: -A ...", "not wanted: -A ...", for a person; a rule that only moves is "out of place".
std::vector<std::string> to_text(const std::vector<Edit>& edits);

}  // namespace ipmasq::nat::iptables
