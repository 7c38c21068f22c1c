// What separates our nftables table in the kernel from the wanted one, as one batch of edits.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nat/nftables_rules.hpp"
#include "nat/ruleset.hpp"

namespace ipmasq::nat::nftables {

/// A rule in the kernel: its handle there, and what it has counted.
struct ObservedRule {
  Rule rule;
  std::uint64_t handle = 0;
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

struct ObservedChain {
  bool is_base = false;
  std::string trouble = {};  ///< what of it ip-masq never makes; empty where it could be one of ours
  std::vector<ObservedRule> rules = {};
};

struct ObservedSet {
  Set set;
  std::string trouble = {};
};

/// Our table in the kernel.
struct ObservedTable {
  bool exists = false;
  std::string trouble = {};
  std::map<std::string, ObservedChain> chains = {};
  std::map<std::string, ObservedSet> sets = {};
};

struct AddTable {
  bool operator==(const AddTable&) const = default;
};
struct DeleteTable {
  std::string why = {};  ///< what of it cannot be mended; empty where no table is wanted
  bool operator==(const DeleteTable&) const = default;
};
struct AddChain {
  std::string chain;
  bool is_base = false;
  bool operator==(const AddChain&) const = default;
};
struct DeleteChain {
  std::string chain;  ///< empty by then, and nothing leads there
  bool operator==(const DeleteChain&) const = default;
};
struct AddSet {
  std::string set;
  net::Family family = net::Family::ipv4;
  bool is_map = false;
  bool operator==(const AddSet&) const = default;
};
struct DeleteSet {
  std::string set;
  bool operator==(const DeleteSet&) const = default;
};
struct AddElements {
  std::string set;
  std::vector<Interval<std::string>> elements;
  bool operator==(const AddElements&) const = default;
};
struct DeleteElements {
  std::string set;
  std::vector<Interval<std::string>> elements;
  bool operator==(const DeleteElements&) const = default;
};
struct InsertRule {
  std::string chain;
  std::optional<std::uint64_t> before;  ///< the handle of the rule that comes next; none: at the end
  Rule rule;
  bool operator==(const InsertRule&) const = default;
};
struct DeleteRule {
  std::string chain;
  std::uint64_t handle = 0;
  Rule rule;  ///< that stands there
  bool operator==(const DeleteRule&) const = default;
};
using Edit = std::variant<AddTable, DeleteTable, AddChain, DeleteChain, AddSet, DeleteSet, AddElements,
                          DeleteElements, InsertRule, DeleteRule>;

/// What brings `observed` to what `wanted` asks, to be carried out in this order and at once; empty where all
/// is right. Rules that stay keep their counters. Chains of networks that `wanted` does not know stay.
std::vector<Edit> difference(const ObservedTable& observed, const Ruleset& wanted);

/// "missing: chain postrouting: ...", "not wanted: ...", for a person; a rule that only moves is "out of
/// place".
std::vector<std::string> to_text(const std::vector<Edit>& edits);

}  // namespace ipmasq::nat::nftables
