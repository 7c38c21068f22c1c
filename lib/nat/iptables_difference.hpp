// What separates the chains that the kernel has from those that are to stand, as one transaction of edits.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "nat/iptables_observed.hpp"
#include "nat/iptables_rules.hpp"
#include "nat/iptables_target.hpp"

namespace ipmasq::nat::iptables {

enum class EditKind { create_chain, delete_chain, insert_rule, delete_rule };

/// One step. A list of 10,000 destinations that changes whole is 20,000 of these, so they own nothing.
struct Edit {
  EditKind kind;
  std::string_view chain;
  std::size_t index = 0;       ///< of a rule, counted from 0: its place after insertion, before deletion
  const Rule* rule = nullptr;  ///< to be inserted, or deleted
};

/// What brings `observed` to `wanted`, to be carried out in this order and at once; empty where all is right.
/// Rules that stay keep their counters. A chain that is not wanted is emptied, and deleted unless somebody
/// else's rule leads there. The edits refer to both arguments, which must outlive them.
std::vector<Edit> difference(const ObservedTable& observed, const State& wanted);
std::vector<Edit> difference(ObservedTable&&, const State&) = delete;
std::vector<Edit> difference(const ObservedTable&, State&&) = delete;

/// "missing: -A ...", "not wanted: -A ...", for a person; a rule that only moves is "out of place".
std::vector<std::string> to_text(const std::vector<Edit>& edits);

}  // namespace ipmasq::nat::iptables
