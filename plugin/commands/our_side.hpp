// What doctor is to know of ourselves: records, files, rules that stand, pods that are not recorded.
#pragma once

#include <optional>

#include "doctor/facts.hpp"
#include "plugin/verbs/recorded.hpp"
#include "state/store.hpp"

namespace ipmasq::plugin {

/// Fills in `facts.ours`, by the lists that `facts.node` has, and tells what could not be looked at.
/// `recorded`: none where the records could not be read.
void look_at_our_side(const state::Store& store, std::optional<Recorded> recorded, doctor::Facts& facts);

}  // namespace ipmasq::plugin
