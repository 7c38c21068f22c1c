// What separates our nftables table in the kernel from the one that is to stand, as one batch of edits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nat/nftables_observed.hpp"
#include "nat/nftables_rules.hpp"

namespace ipmasq::nat::nftables {

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
  SetKind kind = SetKind::ranges;
  bool operator==(const AddSet&) const = default;
};
struct DeleteSet {
  std::string set;
  bool operator==(const DeleteSet&) const = default;
};
struct AddElements {
  std::string set;
  SetKind kind = SetKind::ranges;
  std::vector<Interval<std::string>> elements;
  bool operator==(const AddElements&) const = default;
};
struct DeleteElements {
  std::string set;
  SetKind kind = SetKind::ranges;
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

/// What brings `observed` to `target`, to be carried out in this order and at once; empty where all is right.
/// Rules that stay keep their counters. A rule of the target that has what ip-masq never writes (Rule::other)
/// stays where it stands, but is not made.
std::vector<Edit> difference(const ObservedTable& observed, const Table& target);

/// "missing: chain postrouting: ...", "not wanted: ...", for a person; a rule that only moves is "out of
/// place".
std::vector<std::string> to_text(const std::vector<Edit>& edits);

/// What an edit is about: "chain postrouting: fib daddr type local counter return", "elements of set X".
std::string subject_of(const Edit& edit);

}  // namespace ipmasq::nat::nftables
